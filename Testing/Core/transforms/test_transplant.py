"""Cubes of a tumor bank put into patches: what they bring, where they go, and what stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from voxmmsd.data.tumor_bank import TumorBank
from voxmmsd.errors import ConfigError
from voxmmsd.labels import SCHEMAS
from voxmmsd.transforms.listed import make_transforms
from voxmmsd.transforms.paste import Paste, Tumors
from voxmmsd.transforms.transplant import LEAST_TISSUE, Transplant

SCHEMA = SCHEMAS["brats-2021"]
SIDE = 32
UPRIGHT = torch.eye(3)[None]
MIDDLE = torch.full((1, 1, 3), 0.5)


def bank_of(image, label, size=1.0):
    return Tumors.of_bank(TumorBank("bank.npz", image, label, ("one",), (size,) * 3), 1.0, torch.device("cpu"))


@pytest.fixture
def cube():
    """12^3 voxels one deviation above the mean of the brain; the half of higher x two above it and enhancing."""
    image, label = np.full((1, 4, 12, 12, 12), 100, np.uint8), np.zeros((1, 12, 12, 12), np.uint8)
    image[..., 6:], label[..., 6:] = 125, 3
    return image, label


@pytest.fixture
def brain():
    """Levels of 0.4 and 0.6 in turn (mean 0.5, deviation 0.1), in a margin of air of two voxels; a tumor on top."""
    image = torch.zeros(1, 4, SIDE, SIDE, SIDE)
    image[..., 2:-2, 2:-2, 2:-2] = 0.4
    image[..., 2:-2, 2:-2, 3:-2:2] = 0.6
    label = torch.zeros(1, SIDE, SIDE, SIDE, dtype=torch.uint8)
    label[:, -5:-2] = 2
    return image, label


def transplant(bank):
    (made,) = make_transforms(["transplant:p=1"], SCHEMA, bank)
    return made


def placed(transform, image, turn=UPRIGHT, places=MIDDLE):
    drawn = transform.draw(image.shape, torch.Generator().manual_seed(0))
    return replace(drawn, matrix=turn, places=places)


def test_a_cube_brings_tumor_and_surroundings_at_the_level_of_the_brain(cube, brain):
    transform = transplant(bank_of(*cube))
    image, label = brain
    changed, labels = transform.apply(image, label, placed(transform, image))
    inside = (0, slice(None), slice(13, 19), slice(13, 19))  # two voxels off the faces, which lie at 10 and 21
    torch.testing.assert_close(changed[inside][..., 13:15], torch.full((4, 6, 6, 2), 0.6))
    torch.testing.assert_close(changed[inside][..., 17:19], torch.full((4, 6, 6, 2), 0.7))
    assert (labels[0, 13:19, 13:19, 17:19] == 3).all() and not labels[0, 13:19, 13:19, :15].any()


def test_beyond_the_cube_nothing_changes(cube, brain):
    transform = transplant(bank_of(*cube))
    image, label = brain
    changed, labels = transform.apply(image, label, placed(transform, image))
    beyond = torch.ones(SIDE, SIDE, SIDE, dtype=torch.bool)
    beyond[10:22, 10:22, 10:22] = False
    assert torch.equal(changed[0][:, beyond], image[0][:, beyond])
    assert torch.equal(labels[0][beyond], label[0][beyond])


def test_normal_tissue_of_the_cube_replaces_a_tumor_of_the_patch(cube, brain):
    image, label = brain
    label[:] = 2
    transform = transplant(bank_of(*cube))
    _, labels = transform.apply(image, label, placed(transform, image))
    assert not labels[0, 13:19, 13:19, 13:15].any()


def test_a_mirrored_cube_has_its_label_on_the_other_side(cube, brain):
    image, label = brain
    transform = transplant(bank_of(*cube))
    _, labels = transform.apply(image, label, placed(transform, image, torch.diag(torch.tensor([1.0, 1, -1]))[None]))
    assert (labels[0, 13:19, 13:19, 13:15] == 3).all() and not labels[0, 13:19, 13:19, 17:19].any()


def test_the_cubes_voxels_keep_their_size(cube, brain):
    image, label = brain
    transform = transplant(bank_of(*cube, size=1.5))  # mm, in patches of 1 mm
    _, labels = transform.apply(image, label, placed(transform, image))
    side = 11 * 1.5 - 2  # between the outermost centers, and half of the seam at each face
    assert int((labels == 3).sum()) == pytest.approx(side**3 / 2, rel=0.15)


def test_a_cube_is_not_put_where_much_of_it_would_be_lost(cube, brain):
    image, label = brain
    transform = transplant(bank_of(*cube))
    corner = torch.full((1, 1, 3), 6 / (SIDE - 1))
    assert LEAST_TISSUE > 0.5
    changed, labels = transform.apply(image, label, placed(transform, image, places=corner * 0.5))
    assert torch.equal(changed, image) and torch.equal(labels, label)


def test_air_in_the_cube_and_a_missing_modality_stay_as_they_are(cube, brain):
    stored, cube_label = cube
    stored[:, :, :, :, :4] = 0  # outside of its brain
    image, label = brain
    image[:, 2] = 0
    transform = transplant(bank_of(stored, cube_label))
    changed, labels = transform.apply(image, label, placed(transform, image))
    assert not changed[:, 2].any()
    torch.testing.assert_close(changed[0, :, 13:19, 13:19, 10:13], image[0, :, 13:19, 13:19, 10:13])
    assert (labels == 3).any()


def test_draws_follow_their_seed_and_their_ranges(cube, brain):
    image, _ = brain
    transform = transplant(bank_of(*cube))
    draws = [transform.draw((64, *image.shape[1:]), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0].matrix, draws[1].matrix) and not torch.equal(draws[0].matrix, draws[2].matrix)
    size = 1 / torch.diagonal(draws[0].matrix, dim1=1, dim2=2).abs()
    low, high = Transplant().scale
    assert low <= size.min() and size.max() <= high and size.std() > 0.05


def test_it_needs_a_bank_and_then_paste_is_not_added(cube):
    with pytest.raises(ConfigError, match=r"transplant takes its cubes from a tumor bank.*--tumor-bank"):
        make_transforms(["transplant"], SCHEMA)
    made = make_transforms(["transplant"], SCHEMA, bank_of(*cube))
    assert not any(isinstance(each, Paste) for each in made)
