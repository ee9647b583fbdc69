import numpy as np
import pytest
from scipy import ndimage

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.preflight.mirrored import LEFT_RIGHT, OTHER_FLIPS, SIDES, mirrored

GRID = Grid((64, 64, 64), np.diag([2.0, 2.0, 2.0, 1.0]))
EXCHANGED = {"t2f": ("left and right",)}
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
    assert mirrored(Volume(one, GRID), images) == EXCHANGED


def test_it_is_told_where_the_image_was_moved_too(brains):
    one, other, _ = brains
    for shift in (8, -8):
        images = {"t2w": Volume(np.roll(other, shift, axis=2), GRID), "t2f": np.roll(other[:, :, ::-1], shift, axis=2)}
        images["t2f"] = Volume(np.ascontiguousarray(images["t2f"]), GRID)
        assert mirrored(Volume(one, GRID), images) == EXCHANGED


def test_one_mask_over_both_hides_it_not(brains):
    one, other, inside = brains
    mask = ndimage.shift(inside.astype(np.float32), (0, 0, 3), order=0) > 0  # not the same in a mirror
    images = {name: Volume(array * mask, GRID) for name, array in (("t2w", other), ("t2f", other[:, :, ::-1]))}
    assert mirrored(Volume(one * mask, GRID), images, Volume(mask, GRID)) == EXCHANGED


@pytest.mark.parametrize("axes", OTHER_FLIPS)
def test_every_other_flip_is_told_and_which_it_is(brains, axes):
    one, other, _ = brains
    turned = np.flip(other, [2 - axis for axis in axes])  # arrays run along z, y, x
    images = {"t2w": Volume(other, GRID), "t2f": Volume(np.roll(turned, (0, 3, -2), (0, 1, 2)), GRID)}
    assert mirrored(Volume(one, GRID), images) == {"t2f": tuple(SIDES[axis] for axis in axes)}


def test_sides_are_the_patients_whatever_the_order_of_the_axes(brains):
    one, other, _ = brains
    for axis, sides in enumerate(("left and right", "top and bottom", "front and back")):
        turned = Volume(np.flip(other, axis).copy(), SAGITTAL)
        assert mirrored(Volume(one, SAGITTAL), {"t2f": turned}) == {"t2f": (sides,)}


def test_a_brain_moved_far_away_is_not_taken_for_flipped_though_a_flip_would_bring_it_back(brains):
    """One of which both halves are nearly alike, moved by more than is searched."""
    one, other, _ = brains
    pad = ((0, 0), (0, 0), (0, 24))
    alike, too = (np.pad(array[:, :, ::-1] + 0.8 * array, pad) for array in (one, other))
    grid = Grid(alike.shape, GRID.affine_zyx)
    assert mirrored(Volume(alike, grid), {"t2f": Volume(np.roll(too, 20, axis=2), grid)}) == {}


def test_images_of_two_brains_are_not_taken_for_flipped(brains):
    """They do not agree, whatever is done to one."""
    one, _, inside = brains
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=GRID.shape_zyx), 2.0)
    assert mirrored(Volume(one, GRID), {"t2f": Volume((noise - noise.min()).astype(np.float32) * inside, GRID)}) == {}


def test_a_brain_that_is_the_same_in_a_mirror_or_empty_tells_nothing(brains):
    one, other, _ = brains
    same, also = (Volume(array + array[:, :, ::-1], GRID) for array in (one, other))
    assert mirrored(same, {"t2w": also}) == {}
    empty = Volume(np.zeros(GRID.shape_zyx, np.float32), GRID)
    assert mirrored(Volume(one, GRID), {"t2w": empty}) == {}
    assert mirrored(empty, {"t2w": empty}) == {}


@pytest.mark.real
def test_each_image_of_a_real_case_is_told_when_flipped_and_none_without(shared_data):
    case = next(case for case in find_cases(shared_data / "brats2021").cases if not case.missing)
    volumes = {name: read_volume(source) for name, source in case.modalities.items()}
    fixed = volumes.pop("t1c")
    assert mirrored(fixed, volumes) == {}
    for axes in (LEFT_RIGHT, *OTHER_FLIPS):
        places = [2 - axis for axis in axes]
        flipped = {name: Volume(np.flip(volume.array, places).copy(), volume.grid) for name, volume in volumes.items()}
        assert mirrored(fixed, flipped) == dict.fromkeys(volumes, tuple(SIDES[axis] for axis in axes))
