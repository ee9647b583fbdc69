import numpy as np
import pytest
from scipy import ndimage

from voxmmsd.data.volume import Grid, Volume
from voxmmsd.preflight.misalignment import GAIN, shift_gain

GRID = Grid((40, 40, 40), np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.fixture(scope="module")
def tissue():
    """Smooth structure, as two contrasts see it."""
    structure = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape_zyx), 2.0)
    one = (100 + 900 * (structure - structure.min())).astype(np.float32)
    return one, (one.max() - 0.7 * one + 30).astype(np.float32)


def moved(array, *shift_mm):
    affine = GRID.affine_xyz.copy()
    affine[:3, 3] += shift_mm
    return Volume(array, Grid(GRID.shape_zyx, affine))


def test_images_in_place_fit_best_as_they_are_whatever_their_contrast(tissue):
    one, other = tissue
    assert shift_gain(Volume(one, GRID), Volume(other, GRID)) == 1.0


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, -4, 0), (0, 0, 5), (3, 3, 0)])
def test_a_shift_of_some_millimeters_is_seen_along_any_axis(tissue, shift):
    one, other = tissue
    assert shift_gain(Volume(one, GRID), moved(other, *shift)) > GAIN


def test_a_mask_put_over_both_hides_no_shift(tissue):
    one, other = tissue
    mask = np.zeros(GRID.shape_zyx, bool)
    mask[6:34, 6:34, 6:34] = True
    shifted = np.roll(other, 2, axis=1)
    brains = (Volume(one * mask, GRID), Volume(shifted * mask, GRID))
    assert shift_gain(*brains, Volume(mask, GRID)) > GAIN
    assert shift_gain(brains[0], Volume(other * mask, GRID), Volume(mask, GRID)) == 1.0


def test_too_little_tissue_tells_nothing(tissue):
    one, other = tissue
    small = np.zeros(GRID.shape_zyx, bool)
    small[10:15, 10:15, 10:15] = True
    assert shift_gain(Volume(one, GRID), moved(other, 4, 0, 0), Volume(small, GRID)) == 1.0
