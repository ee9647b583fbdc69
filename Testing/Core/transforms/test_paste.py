"""Pasted tumors: where they go, how bright they are, and when none is pasted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from voxmmsd.data.tumor_bank import TumorBank
from voxmmsd.labels import SCHEMAS
from voxmmsd.transforms.listed import make_transforms
from voxmmsd.transforms.paste import MIN_HEALTHY, Paste, Tumors, draw_turn

SCHEMA = SCHEMAS["brats-2021"]
SIDE = 24
TURN = torch.eye(3)[None]
MIDDLE = torch.full((1, 1, 3), 0.5)


@pytest.fixture
def bank():
    """One tumor of 4 x 4 x 8 voxels (z, y, x): enhancing, its last two slices along x necrotic; two deviations above
    the mean of the brain, one below on FLAIR."""
    image, label = np.full((1, 4, 12, 12, 12), 125, np.uint8), np.zeros((1, 12, 12, 12), np.uint8)
    image[:, 3] = 50
    label[0, 4:8, 4:8, 2:10], label[0, 4:8, 4:8, 8:10] = 3, 1
    found = TumorBank("bank.npz", image, label, ("one",), (1.0, 1.0, 1.0))
    return Tumors.of_bank(found, 1.0, torch.device("cpu"))


@pytest.fixture
def brain():
    """Levels of 0.4 and 0.6 in turn (mean 0.5, deviation 0.1), in a margin of air of two voxels."""
    image = torch.zeros(1, 4, SIDE, SIDE, SIDE)
    image[..., 2:-2, 2:-2, 2:-2] = 0.4
    image[..., 2:-2, 2:-2, 3:-2:2] = 0.6
    return image, torch.zeros(1, SIDE, SIDE, SIDE, dtype=torch.uint8)


def paste(bank, **changes):
    (made,) = make_transforms(["paste:p=1"], SCHEMA, bank)
    return replace(made, **changes)


def drawn(transform, image, **changes):
    return replace(transform.draw(image.shape, torch.Generator().manual_seed(0)), **changes)


def centered(transform, image, turn=TURN):
    """The tumor's centroid on voxel 11.5 of each axis."""
    return drawn(transform, image, matrix=turn, places=MIDDLE, donor=torch.tensor([0]))


def test_a_tumor_keeps_its_shape_and_gets_the_level_of_the_tissue_around_it(bank, brain):
    image, label = brain
    changed, labels = paste(bank).apply(image, label, centered(paste(bank), image))
    x, z = slice(8, 16), slice(10, 14)
    expected = torch.zeros_like(label)
    expected[0, z, z, x], expected[0, z, z, 14:16] = 3, 1
    assert torch.equal(labels, expected)
    inside = (0, slice(None), slice(11, 13), slice(11, 13), slice(9, 15))
    torch.testing.assert_close(changed[inside][:3], torch.full((3, 2, 2, 6), 0.5 + 2 * 0.1))
    torch.testing.assert_close(changed[inside][3], torch.full((2, 2, 6), 0.5 - 0.1))
    beyond = torch.ones(SIDE, SIDE, SIDE, dtype=torch.bool)
    beyond[9:15, 9:15, 7:17] = False
    assert torch.equal(changed[0][:, beyond], image[0][:, beyond])


def test_the_label_follows_a_turned_and_scaled_tumor(bank, brain):
    image, label = brain
    about_z = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]])  # x of the patch looks along y of the tumor
    transform = paste(bank)
    _, labels = transform.apply(image, label, centered(transform, image, about_z))
    assert [len(places.unique()) for places in labels[0].nonzero(as_tuple=True)] == [4, 8, 4]
    _, larger = transform.apply(image, label, centered(transform, image, TURN / 1.5))
    assert int((larger > 0).sum()) == pytest.approx(1.5**3 * 128, rel=0.2)


def test_voxels_of_another_size_keep_the_tumor_as_large_as_it_is(bank, brain):
    image, label = brain
    finer = replace(bank, per_voxel=torch.tensor([2.0, 2.0, 2.0]))  # two of the bank's voxels to one of the patch
    transform = paste(finer)
    _, labels = transform.apply(image, label, centered(transform, image))
    assert int((labels > 0).sum()) == pytest.approx(128 / 8, abs=8)


def test_the_healthiest_of_the_places_is_taken_and_no_tumor_is_covered(bank, brain):
    image, label = brain
    label[0, :, :, :12] = 2
    places = torch.tensor([[[0.5, 0.5, 0.2], [0.5, 0.5, 0.45], [0.5, 0.5, 0.75], [0.0, 0.0, 0.0]]])
    transform = paste(bank)
    _, labels = transform.apply(image, label, drawn(transform, image, matrix=TURN, places=places))
    assert torch.equal(labels[..., :12], label[..., :12])
    pasted = (labels[..., 12:] > 0).nonzero()
    assert pasted[:, 3].float().mean() + 12 == pytest.approx(0.75 * (SIDE - 1), abs=0.6)


def test_without_a_healthy_place_nothing_is_pasted(bank, brain):
    image, label = brain
    label[:] = 2
    label[:, :2] = 0
    transform = paste(bank)
    changed, labels = transform.apply(image, label, centered(transform, image))
    assert torch.equal(changed, image) and torch.equal(labels, label)


def test_a_place_partly_in_air_is_not_healthy(bank, brain):
    image, label = brain
    transform = paste(bank)
    at_the_edge = drawn(transform, image, matrix=TURN, places=torch.tensor([[[0.5, 0.5, 3 / 23]]]))
    _, labels = transform.apply(image, label, at_the_edge)
    assert MIN_HEALTHY > 0.7 and not labels.any()


def test_a_modality_that_is_missing_stays_missing(bank, brain):
    image, label = brain
    image[:, 2] = 0
    transform = paste(bank)
    changed, labels = transform.apply(image, label, centered(transform, image))
    assert labels.any() and not changed[:, 2].any()


def test_a_tumor_without_a_modality_that_the_patch_has_is_not_pasted(bank, brain):
    image, label = brain
    bank.image[:, 1] = 0
    transform = paste(bank)
    changed, labels = transform.apply(image, label, centered(transform, image))
    assert torch.equal(changed, image) and not labels.any()


def test_without_a_bank_tumors_come_from_the_patch_before(brain):
    image, label = (tensor.repeat(2, *[1] * (tensor.ndim - 1)) for tensor in brain)
    label[0, 9:13, 9:13, 9:13] = 3
    image[0, 1][label[0] == 3] = 1.0
    transform = make_transforms(["paste:p=1,scale=1..1"], SCHEMA)[0]
    draw = drawn(transform, image, matrix=TURN.repeat(2, 1, 1), places=MIDDLE.repeat(2, 1, 1))
    changed, labels = transform.apply(image, label, draw)
    assert torch.equal(labels[0], label[0])  # the other patch has no tumor to give
    assert int((labels[1] == 3).sum()) == 64
    contrast = changed[1, 1][labels[1] == 3].max()
    assert float(contrast) == pytest.approx(1.0, abs=0.02)  # the same healthy level in both


def test_a_case_whose_tissues_are_open_gives_no_tumor(brain):
    image, label = (tensor.repeat(2, *[1] * (tensor.ndim - 1)) for tensor in brain)
    label[0, 9:13, 9:13, 9:13] = SCHEMA.class_count
    transform = make_transforms(["paste:p=1"], SCHEMA)[0]
    _, labels = transform.apply(image, label, drawn(transform, image))
    assert torch.equal(labels, label)


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_a_patch_with_too_little_healthy_tissue_to_measure_its_level_gives_no_tumor(brain, rows):
    """A deviation of next to nothing would make a pasted tumor thousands of times as bright as the brain."""
    image, label = (tensor[..., 2:-2, 2:-2, 2:-2].repeat(2, *[1] * (tensor.ndim - 1)) for tensor in brain)
    label[0] = 3
    label[0, 10, :rows, 1::2] = 0  # ten voxels each, all of one level
    transform = make_transforms(["paste:p=1"], SCHEMA)[0]
    for seed in range(20):
        draw = transform.draw(image.shape, torch.Generator().manual_seed(seed))
        changed, labels = transform.apply(image, label, draw)
        assert torch.equal(changed, image) and torch.equal(labels, label)


def test_turns_are_rotations_and_half_of_them_mirrored():
    turns = draw_turn(400, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turns @ turns.transpose(1, 2), torch.eye(3).expand(400, 3, 3), atol=1e-5, rtol=0)
    determinants = torch.linalg.det(turns)
    torch.testing.assert_close(determinants.abs(), torch.ones(400))
    assert float((determinants < 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert turns.mean(dim=0).abs().max() < 0.15  # no direction is preferred


def test_a_bank_pastes_whether_or_not_the_transform_is_stated(bank):
    (made,) = make_transforms([], SCHEMA, bank)
    assert isinstance(made, Paste) and made.bank is bank
    first, second = make_transforms(["gamma", "paste:p=0.7"], SCHEMA, bank)
    assert second.p == 0.7 and second.bank is bank and not isinstance(first, Paste)
