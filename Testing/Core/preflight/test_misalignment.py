import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.preflight import misalignment
from voxmmsd.preflight.misalignment import NONE, Displacement, displacement

GRID = Grid((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.fixture(scope="module")
def tissue():
    """Smooth structure, as two contrasts see it."""
    structure = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape_zyx), 2.0)
    one = (100 + 900 * (structure - structure.min())).astype(np.float32)
    return one, (one.max() - 0.7 * one + 30).astype(np.float32)


def moved(array, *shift_mm, degrees=0):
    affine, turn = np.eye(4), Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    affine[:3, :3] = turn
    middle = GRID.affine_zyx[:3, :3] @ (np.array(GRID.shape_zyx) / 2)
    affine[:3, 3] = shift_mm + middle - turn @ middle
    return Volume(array, Grid(GRID.shape_zyx, affine @ GRID.affine_xyz))


def test_images_in_place_have_no_displacement_whatever_their_contrast(tissue):
    one, other = tissue
    assert displacement(Volume(one, GRID), Volume(other, GRID)).mean_mm < 0.5


def test_uneven_brightness_of_one_image_is_no_displacement(tissue):
    one, other = tissue
    uneven = other * np.linspace(0.3, 1.7, GRID.shape_zyx[0], dtype=np.float32)[:, None, None]
    assert not displacement(Volume(one, GRID), Volume(uneven, GRID)).is_significant


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, -4, 0), (0, 0, 6), (4, 4, 0)])
def test_a_shift_of_some_millimeters_is_told_along_any_axis_and_measured(tissue, shift):
    one, other = tissue
    found = displacement(Volume(one, GRID), moved(other, *shift))
    assert found.is_significant
    assert found.mean_mm == pytest.approx(np.linalg.norm(shift), abs=1)


def test_a_turn_about_the_middle_is_told(tissue):
    one, other = tissue
    assert displacement(Volume(one, GRID), moved(other, 0, 0, 0, degrees=10)).is_significant


def test_a_mask_put_over_both_hides_no_shift(tissue):
    one, other = tissue
    mask = np.zeros(GRID.shape_zyx, bool)
    mask[6:42, 6:42, 6:42] = True
    shifted = np.roll(other, 2, axis=1)
    brains = (Volume(one * mask, GRID), Volume(shifted * mask, GRID))
    assert displacement(*brains, Volume(mask, GRID)).is_significant
    assert not displacement(brains[0], Volume(other * mask, GRID), Volume(mask, GRID)).is_significant


def test_edges_are_the_derivatives_of_a_gaussian_that_scipy_computes(tissue):
    image = tissue[0][:40, :30, 5:]
    orders = np.eye(3, dtype=int).tolist()
    expected = np.stack([ndimage.gaussian_filter(image, 1.0, order=order) for order in orders])
    np.testing.assert_allclose(misalignment._gradient(image), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_parts_that_contradict_each_other_tell_nothing():
    assert Displacement(4.0, 1.5).is_significant
    assert not Displacement(4.0, 3.6).is_significant
    assert not Displacement(2.0, 0.0).is_significant


def test_too_little_tissue_tells_nothing(tissue):
    one, other = tissue
    small = np.zeros(GRID.shape_zyx, bool)
    small[10:15, 10:15, 10:15] = True
    assert displacement(Volume(one, GRID), moved(other, 4, 0, 0), Volume(small, GRID)) == NONE
    assert displacement(Volume(one, GRID), moved(other, 500, 0, 0)) == NONE


@pytest.mark.real
@pytest.mark.long
def test_a_real_case_that_mutual_information_accused_is_cleared_and_one_with_a_low_t1c_is_not(shared_data):
    told = {}
    for case in find_cases(shared_data / "brats2021").cases:
        if case.id in ("BraTS2021_00011", "BraTS2021_01476"):
            still, other = (_coarse(case, name) for name in ("t1c", "t2f"))
            told[case.id] = displacement(still, other).is_significant
    assert told == {"BraTS2021_00011": True, "BraTS2021_01476": False}


def _coarse(case, name):
    volume = read_volume(case.modalities[name])
    return resample(Volume(volume.array.astype(np.float32), volume.grid), volume.grid.with_spacing(2.0))
