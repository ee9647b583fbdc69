import doctest

import numpy as np
import pytest
import torch

import voxmmsd.transforms
from voxmmsd.errors import ConfigError
from voxmmsd.labels import SCHEMAS
from voxmmsd.transforms.bias_field import polynomial
from voxmmsd.transforms.elastic import KNOT_VOXELS
from voxmmsd.transforms.listed import TRANSFORMS, make_intensity_transforms, make_transforms
from voxmmsd.transforms.transform import LEAST, IntensityTransform, PlaceTransform
from voxmmsd.views.spatial import PatchPlace, cut_patch

SCHEMA = SCHEMAS["brats-2021"]  # class indices: 1 necrotic core, 2 edema, 3 enhancing
OF_BATCHES = [name for name, kind in TRANSFORMS.items() if not issubclass(kind, PlaceTransform)]
OF_PLACES = [name for name, kind in TRANSFORMS.items() if issubclass(kind, PlaceTransform)]
OF_INTENSITY = [name for name, kind in TRANSFORMS.items() if issubclass(kind, IntensityTransform)]


def test_the_example_of_drawing_and_applying_does_what_it_says():
    assert doctest.testmod(voxmmsd.transforms).failed == 0
    assert doctest.testmod(voxmmsd.transforms).attempted > 5


@pytest.fixture
def batch():
    """Two images of 12 voxels a side in a margin of air; on T1 contrast enhancing tumor is at 1.5, the rest at 0.5."""
    image = torch.zeros(2, 4, 12, 12, 12)
    image[:, :, 2:10, 2:10, 2:10] = 0.5
    label = torch.zeros(2, 12, 12, 12, dtype=torch.uint8)
    label[:, 3:9, 3:9, 3:9] = 2
    label[:, 4:7, 4:7, 4:7] = 3
    image[:, 1][label == 3] = 1.5
    return image, label


def applied(statement, image, label, seed=0):
    (transform,) = make_transforms([statement], SCHEMA)
    generator = torch.Generator().manual_seed(seed)
    return transform.apply(image, label, transform.draw(image.shape, generator))


@pytest.mark.parametrize("name", OF_BATCHES)
def test_the_same_seed_draws_the_same_and_inputs_stay_as_they_are(name, batch):
    image, label = batch
    before = image.clone(), label.clone()
    first, second = (applied(f"{name}:p=1", image, label, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(image, before[0]) and torch.equal(label, before[1])


@pytest.mark.parametrize("name", OF_BATCHES)
def test_with_a_probability_of_zero_nothing_changes(name, batch):
    image, label = batch
    changed, labels = applied(f"{name}:p=0", image, label)
    torch.testing.assert_close(changed, image)
    assert torch.equal(labels, label)


@pytest.mark.parametrize("name", [name for name in OF_BATCHES if name != "elastic"])
def test_air_and_a_missing_modality_stay_exactly_zero(name, batch):
    image, label = batch
    image[:, 2] = 0
    changed, _ = applied(f"{name}:p=1", image, label)
    assert not changed[image == 0].any()


@pytest.mark.parametrize("name", OF_INTENSITY)
def test_what_changes_intensities_changes_some_and_leaves_tissue_above_zero_and_labels_alone(name, batch):
    image, label = batch
    image[:, :, ::2] *= 0.01
    changed, labels = applied(f"{name}:p=1", image, label, seed=4)
    assert not torch.equal(changed, image)
    assert (changed[image > 0] > 0).all()
    assert torch.equal(labels, label)


@pytest.mark.parametrize(
    ("statement", "low", "high"),
    [
        # 0.25 in one half of the tissue and 0.75 in the other, by hand:
        ("brightness:p=1,factor=1.2", 0.3, 0.9),
        ("brightness-shift:p=1,shift=-0.1", 0.15, 0.65),
        ("brightness-shift:p=1,shift=-0.3", LEAST, 0.45),
        ("contrast:p=1,factor=1.5", 0.125, 0.875),
        ("modality-contrast:p=1,factor=0.5", 0.375, 0.625),
        ("gamma:p=1,power=2", 0.0625, 0.5625),
    ],
)
def test_intensities_are_those_calculated_by_hand(statement, low, high):
    image = torch.zeros(1, 4, 4, 4, 6)
    image[..., 1:3], image[..., 3:5] = 0.25, 0.75
    changed, _ = applied(statement, image, torch.zeros(1, 4, 4, 6, dtype=torch.uint8))
    expected = torch.zeros_like(image)
    expected[..., 1:3], expected[..., 3:5] = low, high
    torch.testing.assert_close(changed, expected)


def test_contrast_is_common_to_the_modalities_or_of_each():
    shape = torch.Size([3, 4, 8, 8, 8])
    common, own = make_transforms(["contrast:p=1", "modality-contrast:p=1"], SCHEMA)
    generator = torch.Generator().manual_seed(0)
    assert (common.draw(shape, generator).std(dim=1) < 1e-6).all()
    assert (own.draw(shape, generator).std(dim=1) > 0.01).all()


def test_a_bias_field_is_legendres_polynomial_and_as_strong_as_stated():
    coefficients = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    sides = [np.linspace(-1, 1, n) for n in (5, 6, 7)]
    expected = [np.polynomial.legendre.leggrid3d(*sides, c.numpy()) for c in coefficients.double()]
    found = polynomial(coefficients, torch.Size([5, 6, 7]))
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)
    image = torch.ones(2, 4, 8, 8, 8)
    field, _ = applied("bias-field:p=1,strength=0.3", image, torch.zeros(2, 8, 8, 8))
    assert field.log().abs().amax(dim=(1, 2, 3, 4)).tolist() == pytest.approx([0.3, 0.3], rel=1e-4)
    assert torch.equal(field[:, 0], field[:, 3])  # one field for all modalities


def test_the_label_goes_where_the_image_goes_in_an_elastic_deformation():
    image, label = torch.full((1, 4, 32, 32, 32), 0.2), torch.zeros(1, 32, 32, 32, dtype=torch.uint8)
    image[..., 10:22, 10:22, 10:22], label[..., 10:22, 10:22, 10:22] = 1.0, 3
    moved, labels = applied("elastic:p=1,displacement=3", image, label)
    assert (labels != label).sum() > 100
    assert set(labels.unique().tolist()) == {0, 3}
    assert ((moved[:, 0] > 0.6) == (labels == 3)).float().mean() > 0.985  # nearest against linear at the border


def test_a_displacement_that_is_everywhere_the_same_shifts_by_that_many_voxels():
    (transform,) = make_transforms(["elastic"], SCHEMA)
    image = torch.rand(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    label = (image[:, 0] > 0.5).to(torch.uint8)
    knots = torch.zeros(1, 3, *3 * (16 // KNOT_VOXELS + 3,))
    knots[:, 2] = 2  # along x
    moved, labels = transform.apply(image, label, knots)
    torch.testing.assert_close(moved[..., :14], image[..., 2:], atol=1e-4, rtol=0)
    assert torch.equal(labels[..., :14], label[..., 2:])
    torch.testing.assert_close(moved[..., 15], image[..., 15], atol=1e-4, rtol=0)  # the border is repeated


def test_scaling_along_one_axis_stretches_label_and_image_alike():
    (transform,) = make_transforms(["axis-scaling:p=1,scale=0.5"], SCHEMA)
    matrix = transform.draw_matrix(np.random.default_rng(0))
    np.testing.assert_allclose(matrix, np.eye(3) / 2)
    image, label = np.zeros((4, 16, 16, 16), np.uint8), np.zeros((16, 16, 16), np.uint8)
    image[:, 6:10, 6:10, 6:10], label[6:10, 6:10, 6:10] = 200, 1
    along_x = PatchPlace(np.array([7.5, 7.5, 7.3]), np.diag([1.0, 1.0, 0.5]))
    found, labels = cut_patch(image, label, along_x, 8)
    assert labels.bool().any(0).any(0).sum() == 2 * labels.bool().any(2).any(1).sum() == 8
    assert ((found[0] > 100) == labels.bool()).all()


def test_the_factors_of_the_axes_differ_and_shrink_as_often_as_they_enlarge():
    (transform,) = make_transforms(["axis-scaling:p=1,scale=0.5..2"], SCHEMA)
    rng = np.random.default_rng(0)
    scales = np.array([np.diag(transform.draw_matrix(rng)) for _ in range(200)])
    assert (scales.std(axis=1) > 1e-3).all()
    assert (scales > 1).mean() == pytest.approx(0.5, abs=0.08)
    (never,) = make_transforms(["axis-scaling:p=0"], SCHEMA)
    np.testing.assert_array_equal(never.draw_matrix(rng), np.eye(3))


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name not in OF_INTENSITY])
def test_pre_training_refuses_what_moves_voxels_or_needs_labels(name):
    with pytest.raises(ConfigError, match=f"{name} moves voxels or needs labels.*; choose from low-resolution"):
        make_intensity_transforms([name])


def test_enhancing_tumor_becomes_core_at_the_level_of_the_rest_of_the_tumor(batch):
    image, label = batch
    changed, labels = applied("non-enhancing:p=1,level=1..1", image, label)
    assert not (labels == 3).any()
    assert torch.equal(labels == 1, label == 3)
    torch.testing.assert_close(changed[:, 1][label == 3], torch.full((54,), 0.5))
    others = [0, 2, 3]
    assert torch.equal(changed[:, others], image[:, others])
    assert torch.equal(changed[:, 1][label != 3], image[:, 1][label != 3])


def test_a_tumor_without_anything_but_enhancing_tissue_stays(batch):
    image, label = batch
    label[label == 2] = 0
    changed, labels = applied("non-enhancing:p=1", image, label)
    assert torch.equal(changed, image) and torch.equal(labels, label)


def test_a_thick_slice_is_drawn_with_the_deviation_of_a_box_of_its_width():
    (transform,) = make_transforms(["low-resolution:p=1,factor=6..6"], SCHEMA)
    sigma = transform.draw(torch.Size((8, 4, 16, 16, 16)), torch.Generator().manual_seed(0))
    assert ((sigma > 0).sum(dim=1) == 1).all()
    torch.testing.assert_close(
        sigma.amax(dim=1), torch.full((8,), torch.arange(6001).div(1000.0).std().item()), rtol=1e-3, atol=0
    )


def test_thick_slices_blur_along_one_axis_and_keep_the_level():
    image = torch.ones(1, 4, 16, 16, 16)
    image[..., ::2] = 3.0  # stripes along x
    (transform,) = make_transforms(["low-resolution:p=1,factor=12..12"], SCHEMA)
    label = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    sigma = torch.tensor([[0.0, 0.0, 12 / 12**0.5]])
    changed, _ = transform.apply(image, label, sigma)
    torch.testing.assert_close(changed[..., 4:12], torch.full((1, 4, 16, 16, 8), 2.0), atol=0.15, rtol=0)
    along_stripes, _ = transform.apply(image, label, sigma.roll(1, dims=1))
    torch.testing.assert_close(along_stripes, image)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("blur", "unknown transform 'blur'; choose from"),
        ("low-resolution:q=1", "low-resolution has no parameter 'q'; it has p, factor"),
        ("low-resolution:factor=4..2", "factor=4..2 is an empty range; give low..high"),
        ("brightness-shift:shift=0.2..-0.2", "shift=0.2..-0.2 is an empty range; give low..high"),
        ("contrast:factor=-1..1", "factor=-1..1 is an empty range; give low..high, both above 0"),
        ("gamma:power=nan", "power='nan' is not a number; write power=0.3 or power=1..2"),
        ("non-enhancing:core=2", "non-enhancing has no parameter 'core'; it has p, level"),
        ("low-resolution:p=often", "p='often' is not a number; write p=0.3"),
        ("low-resolution:p=1.5", "p=1.5 is not a probability; give 0 to 1"),
    ],
)
def test_a_statement_that_cannot_be_meant_is_refused_in_one_sentence(statement, problem):
    with pytest.raises(ConfigError, match=problem.replace("(", r"\(")):
        make_transforms([statement], SCHEMA)


def test_a_schema_without_the_tissues_is_refused():
    with pytest.raises(ConfigError, match=r"non-enhancing needs enhancing tumor and a core .* whole-tumor has WT"):
        make_transforms(["non-enhancing"], SCHEMAS["whole-tumor"])
