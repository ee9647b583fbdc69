"""Diameters of drawn shapes, computed by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from voxmmsd.data.volume import Grid
from voxmmsd.measuring.diameters import axial_axis, closest_axis, measured


def grid_of(shape_zyx, spacing_zyx=(1.0, 1.0, 1.0), turn=None, flips=(1, 1, 1)):
    affine = np.diag([*(flips * np.array(spacing_zyx[::-1])), 1.0])
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (12.5, -40.0, 7.0)
    return Grid(shape_zyx, affine)


def drawn(*boxes, shape=(6, 60, 60)):
    """A mask with boxes of (z, y, x) bounds."""
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[tuple(slice(*side) for side in box)] = True
    return mask


def lengths(mask, grid):
    found = measured(mask, grid)
    return found.longest.length_mm, found.perpendicular.length_mm


def ellipse(a, b, degrees, shape=(4, 160, 160), hole=0.0):
    y, x = np.mgrid[: shape[1], : shape[2]].astype(float)
    y, x = y - shape[1] / 2 + 0.3, x - shape[2] / 2 - 0.2
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    radius = np.hypot((x * c + y * s) / a, (-x * s + y * c) / b)
    mask = np.zeros(shape, bool)
    mask[1:3] = (radius <= 1) & (radius > hole)
    return mask


def test_a_rectangle_is_as_long_as_its_diagonal_and_the_perpendicular_goes_through_its_long_sides():
    mask = drawn(((2, 4), (10, 20), (10, 30)))
    diagonal = np.hypot(20, 10)
    assert lengths(mask, grid_of(mask.shape)) == pytest.approx((diagonal, 10 * diagonal / 20))


def test_a_square_has_two_diagonals():
    mask = drawn(((2, 4), (10, 20), (10, 20)))
    assert lengths(mask, grid_of(mask.shape)) == pytest.approx((np.sqrt(200), np.sqrt(200)))


def test_a_single_voxel_has_the_diagonals_of_its_face():
    mask = drawn(((2, 3), (10, 11), (10, 11)))
    assert lengths(mask, grid_of(mask.shape, (5.0, 1.0, 1.0))) == pytest.approx((np.sqrt(2), np.sqrt(2)))


def test_of_an_l_the_first_line_leaves_the_lesion_and_the_second_ends_in_it():
    mask = drawn(((2, 4), (10, 20), (10, 40)), ((2, 4), (10, 40), (10, 20)))
    assert lengths(mask, grid_of(mask.shape)) == pytest.approx((30 * np.sqrt(2), 10 * np.sqrt(2)))


@pytest.mark.parametrize("degrees", [0, 20, 45, 77, 90, 130])
def test_an_ellipse_has_its_axes_however_it_is_turned(degrees):
    """To within the voxels that its outline runs through."""
    longest, perpendicular = lengths(ellipse(40, 20, degrees), grid_of((4, 160, 160)))
    assert 80 - 0.5 <= longest <= 80 + np.sqrt(2)
    assert 40 - 1.0 <= perpendicular <= 40 + np.sqrt(2)


def test_a_ring_is_as_large_as_the_disk_that_it_surrounds():
    grid = grid_of((4, 160, 160))
    assert lengths(ellipse(30, 30, 0, hole=0.8), grid) == lengths(ellipse(30, 30, 0), grid)


def test_voxels_that_are_no_squares_count_in_millimeters():
    mask = drawn(((2, 4), (10, 20), (10, 30)))
    grid = grid_of(mask.shape, (3.0, 2.0, 0.5))  # 20 mm high, 10 mm wide
    assert lengths(mask, grid) == pytest.approx((np.hypot(20, 10), 10 * np.hypot(20, 10) / 20))


def test_a_tilted_or_mirrored_grid_changes_nothing_but_where_the_lines_are():
    mask = drawn(((2, 4), (10, 20), (10, 40)), ((2, 4), (10, 40), (10, 20)))
    straight = grid_of(mask.shape, (2.0, 1.0, 1.5))
    turn = Rotation.from_euler("xyz", [17, -9, 25], degrees=True).as_matrix()
    tilted = grid_of(mask.shape, (2.0, 1.0, 1.5), turn, (-1, -1, 1))
    assert axial_axis(tilted) == 0
    assert lengths(mask, tilted) == pytest.approx(lengths(mask, straight))


def test_both_lines_are_perpendicular_and_their_ends_lie_at_the_lesion_in_their_slice():
    turn = Rotation.from_euler("xyz", [17, -9, 25], degrees=True).as_matrix()
    mask = ellipse(40, 20, 33)
    grid = grid_of(mask.shape, (4.0, 0.9, 0.9), turn)
    found = measured(mask, grid)
    first, second = (np.subtract(line.end, line.start) for line in (found.longest, found.perpendicular))
    assert first @ second == pytest.approx(0, abs=1e-6)
    for line in (found.longest, found.perpendicular):
        for point in (line.start, line.end):
            z, y, x = np.linalg.solve(grid.affine_zyx, [*point, 1])[:3]
            assert z == pytest.approx(found.index, abs=1e-6)
            near = np.argwhere(mask[found.index]) - (y, x)
            assert np.abs(near).max(axis=1).min() <= 0.5 + 1e-6


@pytest.mark.parametrize(("moved", "axis"), [((0, 1, 2), 0), ((1, 0, 2), 1), ((1, 2, 0), 2)])
def test_an_axial_slice_is_found_whatever_the_order_of_axes(moved, axis):
    """``moved``: where the axes z, y, x went."""
    mask = drawn(((2, 4), (10, 20), (10, 30)), shape=(6, 30, 40))
    grid = grid_of(mask.shape, (3.0, 1.0, 1.0))
    shuffled = np.transpose(mask, moved)
    affine = grid.affine_zyx[:, [*moved, 3]]
    other = Grid(shuffled.shape, affine[:, [2, 1, 0, 3]])
    assert axial_axis(other) == axis
    assert lengths(shuffled, other) == pytest.approx(lengths(mask, grid))


def test_every_array_axis_belongs_to_one_direction_even_at_45_degrees():
    turn = Rotation.from_euler("x", 45, degrees=True).as_matrix()
    grid = grid_of((5, 5, 5), turn=turn)
    assert sorted(closest_axis(grid, direction) for direction in range(3)) == [0, 1, 2]


def test_the_slice_with_the_longest_line_is_taken_and_of_equal_ones_the_widest():
    mask = drawn(((0, 1), (10, 20), (10, 30)), ((1, 2), (10, 20), (10, 34)), ((2, 3), (10, 20), (10, 34)))
    mask[2, 20:22, 20:24] = True  # a bump that makes it wider, not longer
    assert measured(mask, grid_of(mask.shape)).index == 2
    assert measured(mask[:2], grid_of(mask[:2].shape)).index == 1


@pytest.mark.parametrize(
    ("side", "slices", "thickness", "measurable"),
    [
        (8, 2, 1.0, True),
        (7, 2, 1.0, False),
        (8, 1, 1.0, False),
        (8, 2, 5.0, True),
        (7, 2, 5.5, False),
        (8, 2, 5.5, True),
    ],
)
def test_a_measurable_lesion_has_ten_millimeters_twice_and_thick_slices_ask_for_more(
    side, slices, thickness, measurable
):
    """Squares of 7 and 8 mm have diagonals of 9.9 and 11.3 mm, twice 5.5 mm is 11 mm."""
    mask = drawn(((1, 1 + slices), (10, 10 + side), (10, 10 + side)))
    assert measured(mask, grid_of(mask.shape, (thickness, 1.0, 1.0))).is_measurable is measurable


def test_an_empty_mask_has_no_diameters():
    assert measured(np.zeros((4, 4, 4), bool), grid_of((4, 4, 4))) is None
