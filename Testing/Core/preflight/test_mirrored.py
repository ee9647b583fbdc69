import numpy as np
import pytest
from scipy import ndimage

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.preflight.mirrored import mirrored

GRID = Grid((64, 64, 64), np.diag([2.0, 2.0, 2.0, 1.0]))
SAGITTAL = Grid(GRID.shape_zyx, np.array([[0, 0, 2, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]]))  # z to the right


@pytest.fixture(scope="module")
def brains():
    """An ellipsoid without symmetry inside, as two contrasts see it; and the ellipsoid."""
    structure = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape_zyx), 2.0)
    one = (100 + 900 * (structure - structure.min())).astype(np.float32)
    z, y, x = np.ogrid[-1:1:64j, -1:1:64j, -1:1:64j]
    inside = (z / 0.9) ** 2 + (y / 0.9) ** 2 + (x / 0.75) ** 2 < 1
    return one * inside, (one.max() - 0.7 * one + 30).astype(np.float32) * inside, inside


def test_an_image_with_left_and_right_exchanged_is_told_from_those_without(brains):
    one, other, _ = brains
    images = {"t2w": Volume(other, GRID), "t2f": Volume(other[:, :, ::-1].copy(), GRID)}
    assert mirrored(Volume(one, GRID), images) == ["t2f"]


def test_it_is_told_where_the_image_was_moved_too(brains):
    one, other, _ = brains
    for shift in (8, -8):
        images = {"t2w": Volume(np.roll(other, shift, axis=2), GRID), "t2f": np.roll(other[:, :, ::-1], shift, axis=2)}
        images["t2f"] = Volume(np.ascontiguousarray(images["t2f"]), GRID)
        assert mirrored(Volume(one, GRID), images) == ["t2f"]


def test_one_mask_over_both_hides_it_not(brains):
    one, other, inside = brains
    mask = ndimage.shift(inside.astype(np.float32), (0, 0, 3), order=0) > 0  # not the same in a mirror
    images = {name: Volume(array * mask, GRID) for name, array in (("t2w", other), ("t2f", other[:, :, ::-1]))}
    assert mirrored(Volume(one * mask, GRID), images, Volume(mask, GRID)) == ["t2f"]


def test_left_and_right_are_the_patients_whatever_the_order_of_the_axes(brains):
    one, other, _ = brains
    for axis, expected in ((0, ["t2f"]), (1, []), (2, [])):
        turned = Volume(np.flip(other, axis).copy(), SAGITTAL)
        assert mirrored(Volume(one, SAGITTAL), {"t2f": turned}) == expected


def test_a_brain_that_is_the_same_in_a_mirror_or_empty_tells_nothing(brains):
    one, other, _ = brains
    same, also = (Volume(array + array[:, :, ::-1], GRID) for array in (one, other))
    assert mirrored(same, {"t2w": also}) == []
    empty = Volume(np.zeros(GRID.shape_zyx, np.float32), GRID)
    assert mirrored(Volume(one, GRID), {"t2w": empty}) == []
    assert mirrored(empty, {"t2w": empty}) == []


@pytest.mark.real
def test_each_image_of_a_real_case_is_told_in_a_mirror_and_none_without(shared_data):
    case = next(case for case in find_cases(shared_data / "brats2021").cases if not case.missing)
    volumes = {name: read_volume(source) for name, source in case.modalities.items()}
    fixed = volumes.pop("t1c")
    assert mirrored(fixed, volumes) == []
    exchanged = {name: Volume(volume.array[:, :, ::-1].copy(), volume.grid) for name, volume in volumes.items()}
    assert mirrored(fixed, exchanged) == list(volumes)
