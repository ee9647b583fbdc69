import math

import numpy as np
import pytest
from scipy import ndimage

from voxmmsd.evaluation.surfels import hd95_of, surface_dice_of, surface_of

ONE = (1.0, 1.0, 1.0)


def cube(first, last, side=16):
    mask = np.zeros((side, side, side), bool)
    mask[first:last, first:last, first:last] = True
    return mask


def test_a_large_box_has_its_faces_area_with_cut_edges_and_corners():
    """6 faces of (n - 1)^2 corners, 12 edges of n - 1 corners with a chamfer of sqrt(2)/2, 8 corners cut off."""
    n = 10
    area = 6 * (n - 1) ** 2 + 12 * (n - 1) * math.sqrt(2) / 2 + 8 * math.sqrt(3) / 8
    assert surface_of(cube(3, 3 + n), ONE).areas_mm2.sum() == pytest.approx(area)


def test_a_voxel_is_an_octahedron_and_scales_with_the_spacing():
    """Corners at half a voxel from the center: area 8 * sqrt(3) / 8; twice the spacing, four times the area."""
    mask = cube(3, 4, 8)
    assert surface_of(mask, ONE).areas_mm2.sum() == pytest.approx(math.sqrt(3))
    assert surface_of(mask, (2.0, 2.0, 2.0)).areas_mm2.sum() == pytest.approx(4 * math.sqrt(3))
    flat = surface_of(mask, (1.0, 1.0, 4.0)).areas_mm2.sum()
    assert flat == pytest.approx(math.sqrt(1 + 16 + 16))  # eight triangles with the normal (4, 4, 1) / 8


def test_a_mask_and_what_surrounds_it_have_the_same_surface():
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 20, 20)), 1) > 0.1
    mask[[0, -1]] = mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    inner = surface_of(mask, ONE).areas_mm2.sum()
    both = surface_of(~mask, ONE).areas_mm2.sum()
    assert both == pytest.approx(inner + surface_of(np.ones_like(mask), ONE).areas_mm2.sum())


def test_hd95_of_a_cube_moved_by_three_voxels_is_three():
    first, second = (surface_of(np.roll(cube(4, 10), shift, axis=0), ONE) for shift in (0, 3))
    assert hd95_of(first, second) == pytest.approx(3.0)
    moved = surface_of(np.roll(cube(4, 10), 3, axis=0), (2.0, 1.0, 1.0))
    assert hd95_of(surface_of(cube(4, 10), (2.0, 1.0, 1.0)), moved) == pytest.approx(6.0)


def test_the_percentile_counts_area_and_not_voxels():
    """A far speck holds 4.7 % of the surface's points and less than 1 % of its area in thick slices' planes."""
    wide = np.zeros((8, 40, 40), bool)
    wide[3:5, 4:34, 4:34] = True
    speck = wide.copy()
    speck[3, 38, 38] = True
    assert hd95_of(surface_of(wide, ONE), surface_of(speck, ONE)) == 0.0


def test_the_empty_is_infinitely_far_and_nothing_of_it_agrees():
    empty, some = surface_of(np.zeros((4, 4, 4), bool), ONE), surface_of(cube(1, 3, 4), ONE)
    assert hd95_of(some, empty) == hd95_of(empty, some) == math.inf
    assert surface_dice_of(some, empty, (0.5, 1.0)) == (0.0, 0.0)


def test_surface_dice_is_the_mean_of_the_two_shares_of_border_voxels_within_the_tolerance():
    """A cube of 3 (26 border voxels) in one of 5 (98): each of the inner is at 1 mm; of the outer, 6 * 9 are."""
    inner, outer = surface_of(cube(5, 8), ONE), surface_of(cube(4, 9), ONE)
    assert surface_dice_of(inner, outer, (0.5, 1.0)) == pytest.approx((0.0, (1 + 54 / 98) / 2))
