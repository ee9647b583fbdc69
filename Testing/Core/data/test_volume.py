import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from voxmmsd.data.volume import Grid, Volume, box_on, canonical, downsample, resample, resampling_is_exact


def oblique_left_handed_grid(shape_zyx=(5, 14, 12)):
    """Thick slices, axes tilted by 12 degrees, x running to the left."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -7, 5], degrees=True).as_matrix() @ np.diag([-0.9, 0.9, 5.5])
    affine[:3, 3] = (40, -30, 12)
    return Grid(shape_zyx, affine)


def numbered(grid):
    return Volume(np.arange(np.prod(grid.shape_zyx), dtype=np.int32).reshape(grid.shape_zyx), grid)


def world_of(grid, index_zyx):
    return grid.affine_zyx[:3] @ [*index_zyx, 1]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "PIR", "SAR"])
def test_canonical_equals_nibabel_for_any_order_of_axes(codes):
    order = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1, 2, 3, 1.0]))
    image = image.as_reoriented(order)
    volume = canonical(Volume(np.asarray(image.dataobj).T, Grid(image.shape[::-1], image.affine)))
    expected = nib.as_closest_canonical(image)
    np.testing.assert_array_equal(volume.array.T, np.asarray(expected.dataobj))
    np.testing.assert_allclose(volume.grid.affine_xyz, expected.affine)


def test_canonical_leaves_every_voxel_at_its_place_in_the_world():
    grid = oblique_left_handed_grid()
    volume, moved = numbered(grid), canonical(numbered(grid))
    for index in [(0, 0, 0), (4, 13, 11), (2, 5, 7)]:
        value = volume.array[index]
        (found,) = np.argwhere(moved.array == value)
        np.testing.assert_allclose(world_of(moved.grid, found), world_of(grid, index), atol=1e-9)


def test_channels_are_carried_along_by_canonical():
    grid = oblique_left_handed_grid()
    one = numbered(grid)
    both = canonical(Volume(np.stack([one.array, -one.array]), grid))
    np.testing.assert_array_equal(both.array[0], canonical(one).array)
    np.testing.assert_array_equal(both.array[1], -canonical(one).array)


def test_a_crop_of_a_flipped_and_permuted_grid_is_copied_voxel_by_voxel_both_ways():
    volume = numbered(oblique_left_handed_grid())
    whole = canonical(volume)
    part = whole.grid.crop((1, 2, 3), (3, 6, 5))
    assert resampling_is_exact(volume.grid, part)
    there = resample(volume, part)
    np.testing.assert_array_equal(there.array, whole.array[1:4, 2:8, 3:8])
    back = resample(there, volume.grid)
    inside = np.isin(volume.array, there.array)
    np.testing.assert_array_equal(back.array[inside], volume.array[inside])
    assert not back.array[~inside].any()


def test_a_crop_beyond_the_volume_is_zero_outside():
    volume = Volume(np.ones((4, 4, 4), np.uint8), Grid((4, 4, 4), np.eye(4)))
    moved = resample(volume, volume.grid.crop((-2, 0, 2), (4, 4, 4)))
    assert moved.array.sum() == 2 * 4 * 2
    assert resample(volume, volume.grid.crop((9, 9, 9), (2, 2, 2))).array.sum() == 0


def test_a_linear_ramp_in_the_world_stays_the_same_ramp_on_another_grid():
    grid = oblique_left_handed_grid((9, 20, 20))
    index = np.stack([*np.indices(grid.shape_zyx), np.ones(grid.shape_zyx)]).reshape(4, -1)
    slope = np.array([0.3, -0.2, 0.5])
    ramp = (slope @ (grid.affine_zyx @ index)[:3] + 100).reshape(grid.shape_zyx)
    middle = world_of(grid, (4, 10, 10))
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = middle - 4
    target = Grid((5, 5, 5), affine)
    moved = resample(Volume(ramp, grid), target).array
    for at in [(0, 0, 0), (4, 4, 4), (2, 1, 3)]:
        assert moved[at] == pytest.approx(slope @ world_of(target, at) + 100, abs=0.05)


def test_the_isotropic_grid_covers_the_same_box():
    grid = oblique_left_handed_grid((5, 20, 20))
    iso = grid.with_spacing(1.0)
    assert iso.spacing_mm_zyx == pytest.approx((1, 1, 1))
    np.testing.assert_allclose(world_of(iso, (-0.5, -0.5, -0.5)), world_of(grid, (-0.5, -0.5, -0.5)), atol=1e-9)
    for got, expected in zip(iso.shape_zyx, (27.5, 18, 18), strict=True):
        assert abs(got - expected) <= 0.5


@pytest.mark.parametrize("spacing", [2.7, 3.0, 4.0])
def test_going_to_larger_voxels_does_not_alias(spacing):
    stripes = np.zeros((33, 33, 33), np.float32)
    stripes[:, :, ::2] = 1
    volume = Volume(stripes, Grid(stripes.shape, np.eye(4)))
    coarse = volume.grid.with_spacing(spacing)  # at 3 mm the centers fall on a stripe and beside one by turns
    assert np.abs(resample(volume, coarse).array[2:-2, 2:-2, 2:-2] - 0.5).max() < 0.06
    assert set(np.unique(resample(volume, coarse, order=0).array)) <= {0, 1}


@pytest.mark.parametrize(("stripes_along", "left"), [("x", 0.0), ("z", 1.0)])
def test_smoothing_follows_the_axis_of_the_world_that_shrinks_however_the_target_stores_it(stripes_along, left):
    """The target's first axis is the source's last, at 4 mm: stripes along it vanish, those along another stay."""
    stripes = np.zeros((33, 33, 33), np.float32)
    stripes[(..., slice(None, None, 2)) if stripes_along == "x" else slice(None, None, 2)] = 1
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 4], [0, 1, 0], [1, 0, 0]]
    moved = resample(Volume(stripes, Grid(stripes.shape, np.eye(4))), Grid((9, 33, 33), affine)).array[2:-2, 8:-8, 8:-8]
    assert float(moved.max() - moved.min()) == pytest.approx(left, abs=0.06)


@pytest.mark.parametrize("codes", ["ASL", "PIR", "SAR", "IPL"])
@pytest.mark.parametrize("tilt", [0, 12])
def test_a_thick_sliced_image_resamples_alike_in_whatever_order_its_file_stores_the_axes(codes, tilt):
    """Slices of 5 mm along z, pixels of 0.6 mm: only the pixels need smoothing for a grid of 1.5 mm."""
    affine = np.diag([0.6, 0.8, 5.0, 1])
    affine[:3, :3] = Rotation.from_euler("x", tilt, degrees=True).as_matrix() @ affine[:3, :3]
    noise = np.random.default_rng(0).normal(100, 30, (8, 40, 50)).astype(np.float32)
    image = Volume(noise, Grid(noise.shape, affine))
    spot = np.diag([1.5, 1.5, 3.0, 1])
    spot[:3, 3] = 2.1  # no voxel on the image's border
    target = Grid((9, 14, 15), spot)
    expected = resample(image, target).array
    twin_grid = canonical_as(codes, image.grid)
    twin = resample(resample(image, twin_grid), target).array
    np.testing.assert_allclose(twin, expected, rtol=0, atol=1e-3)
    turned = canonical_as(codes, target)
    np.testing.assert_allclose(resample(resample(image, turned), target).array, expected, rtol=0, atol=1e-3)


def test_a_target_of_thick_tilted_slices_hardly_smooths_within_them():
    """At 12 degrees, 4 % of what 5 mm slices take together runs along the plane's axis of the source."""
    stripes = np.zeros((40, 40, 40), np.float32)
    stripes[:, ::4], stripes[:, 1::4] = 100, 100
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", 12, degrees=True).as_matrix() @ np.diag([1.0, 1.0, 5.0])
    affine[:3, 3] = (10, 12, 8)
    seen = resample(Volume(stripes, Grid(stripes.shape, np.eye(4))), Grid((4, 20, 20), affine)).array[1:-1, 4:-4, 4:-4]
    assert float(seen.max() - seen.min()) > 60


def test_grids_that_differ_by_a_hair_are_the_same_and_by_a_tenth_of_a_millimeter_are_not():
    grid = oblique_left_handed_grid()
    nudged = grid.affine_xyz.copy()
    nudged[0, 3] += 1e-4
    assert grid.same_as(Grid(grid.shape_zyx, nudged))
    nudged[0, 3] += 0.1
    assert not grid.same_as(Grid(grid.shape_zyx, nudged))
    assert not grid.same_as(Grid((5, 14, 13), grid.affine_xyz))


def test_an_array_that_does_not_fit_its_grid_is_refused():
    with pytest.raises(ValueError, match="does not match"):
        Volume(np.zeros((2, 3, 4)), Grid((4, 3, 2), np.eye(4)))


def test_there_and_back_over_isotropic_voxels_moves_nothing_on_average():
    grid = oblique_left_handed_grid((12, 44, 40))
    rng = np.random.default_rng(0)
    shifts = []
    for _ in range(12):
        box = np.zeros(grid.shape_zyx, np.float32)
        first = [int(rng.integers(2, n // 2)) for n in grid.shape_zyx]
        last = [f + int(rng.integers(2, n // 3)) for f, n in zip(first, grid.shape_zyx, strict=True)]
        box[first[0] : last[0], first[1] : last[1], first[2] : last[2]] = 1
        there = canonical(Volume(box, grid))
        back = resample(resample(there, there.grid.with_spacing(1.0)), grid).array
        weighted = [np.average(np.argwhere(a > 0), axis=0, weights=a[a > 0]) for a in (back, box)]
        shifts.append(weighted[0] - weighted[1])
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.05)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_interpolating_axis_by_axis_in_a_box_equals_scipys_interpolation_of_the_whole(codes, order):
    shape = (21, 26, 30)
    array = np.zeros(shape, np.float32)
    array[4:17, 5:26, 8:20] = np.random.default_rng(0).integers(0, 255, (13, 21, 12))
    volume = Volume(array, Grid(shape, np.eye(4)))
    for spacing in (0.8, 1.0, 1.7):
        target = canonical_as(codes, volume.grid.with_spacing(spacing))
        matrix = np.linalg.solve(volume.grid.affine_zyx, target.affine_zyx)
        sigma = max(0.0, (spacing - 1) / 2)
        smooth = ndimage.gaussian_filter(array, sigma) if order else array
        expected = ndimage.affine_transform(smooth, matrix, output_shape=target.shape_zyx, order=order)
        np.testing.assert_allclose(resample(volume, target, order).array, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("tilt", [0, 12])
def test_an_image_counts_up_to_the_faces_of_its_outermost_voxels_and_no_further(tilt, order):
    """Four slices of 6 mm and a single one are 24 and 6 mm thick on whatever grid, not 18 and 0."""
    for slices in (4, 1):
        thick = Volume(np.ones((slices, 10, 12), np.float32), Grid((slices, 10, 12), np.diag([1, 1, 6.0, 1])))
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler("x", tilt, degrees=True).as_matrix()
        affine[:3, 3] = affine[:3, :3] @ (-3, -5, -6.5)
        target = Grid((36, 26, 18), affine)
        index = np.stack([*np.indices(target.shape_zyx), np.ones(target.shape_zyx)]).reshape(4, -1)
        at = (np.linalg.solve(thick.grid.affine_zyx, target.affine_zyx) @ index)[:3]
        beyond = np.abs(at.T - (np.array(thick.grid.shape_zyx) - 1) / 2) - np.array(thick.grid.shape_zyx) / 2
        expected = (beyond <= 1e-6).all(axis=1).reshape(target.shape_zyx)
        np.testing.assert_array_equal(resample(thick, target, order).array, expected)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_downsampling_by_matrices_equals_resampling_to_six_digits(codes):
    shape = (21, 26, 30)
    array = np.zeros(shape, np.int16)
    array[0:17, 5:26, 8:20] = np.random.default_rng(0).integers(0, 1000, (17, 21, 12))
    volume = Volume(array, Grid(shape, np.eye(4)))
    for spacing in (1.3, 2.0, 3.1):
        target = canonical_as(codes, volume.grid.with_spacing(spacing).crop((-1, 2, -2), (9, 10, 11)))
        expected, found = resample(volume, target).array, downsample(volume, target).array
        assert found.dtype == np.float32 and found.any()
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


def test_downsampling_along_oblique_axes_and_of_nothing_equals_resampling():
    volume = numbered(oblique_left_handed_grid())
    target = canonical(volume).grid.with_spacing(2.0)
    upright = Grid(target.shape_zyx, np.diag([2.0, 2.0, 2.0, 1.0]))
    for grid in (target, upright, volume.grid, Grid((2, 2, 2), np.diag([2.0, 2.0, 2.0, 1.0]) + 500 * np.eye(4)[:, 3:])):
        np.testing.assert_allclose(downsample(volume, grid).array, resample(volume, grid).array, rtol=1e-5, atol=1e-3)
    assert not downsample(Volume(np.zeros((5, 14, 12), np.float32), volume.grid), target).array.any()


def canonical_as(codes, grid):
    """The grid with its axes in the order and direction that ``codes`` names."""
    order = nib.orientations.axcodes2ornt(codes)
    image = nib.Nifti1Image(np.zeros(grid.shape_zyx[::-1], np.uint8), grid.affine_xyz).as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.io_orientation(grid.affine_xyz), order)
    )
    return Grid(image.shape[::-1], image.affine)


@pytest.mark.parametrize("spacing", [0.7, 2.5])
def test_outside_the_box_that_a_part_reaches_nothing_depends_on_it(spacing):
    grid = oblique_left_handed_grid((9, 14, 12))
    part = np.zeros(grid.shape_zyx, np.float32)
    box = (slice(3, 5), slice(4, 8), slice(2, 3))
    part[box] = 1
    target = canonical(numbered(grid)).grid.with_spacing(spacing)
    whole = resample(Volume(part, grid), target).array
    reached = box_on(target, box, grid)
    assert np.count_nonzero(whole[reached]) == np.count_nonzero(whole) > 0
    assert box_on(grid.crop((0, 12, 0), (9, 2, 12)), box, grid) is None
