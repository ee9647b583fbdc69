import pytest
import torch

from voxmmsd.errors import ConfigError
from voxmmsd.labels import SCHEMAS
from voxmmsd.transforms.listed import TRANSFORMS, make_transforms

SCHEMA = SCHEMAS["brats-2021"]  # class indices: 1 necrotic core, 2 edema, 3 enhancing


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


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_same_seed_draws_the_same_and_inputs_stay_as_they_are(name, batch):
    image, label = batch
    before = image.clone(), label.clone()
    first, second = (applied(f"{name}:p=1", image, label, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(image, before[0]) and torch.equal(label, before[1])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_with_a_probability_of_zero_nothing_changes(name, batch):
    image, label = batch
    changed, labels = applied(f"{name}:p=0", image, label)
    torch.testing.assert_close(changed, image)
    assert torch.equal(labels, label)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_air_and_a_missing_modality_stay_exactly_zero(name, batch):
    image, label = batch
    image[:, 2] = 0
    changed, _ = applied(f"{name}:p=1", image, label)
    assert not changed[image == 0].any()


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
