from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from patients import reorient, write_patient
from scipy.spatial.transform import Rotation

from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.preprocess import Preprocess, brain_box, input_scale, to_uint8
from voxmmsd.data.volume import Grid
from voxmmsd.errors import InputError
from voxmmsd.model_config import PreprocessConfig

SCHEMA = "brats-gli-2023"


def read(folder, **options):
    (case,) = find_cases(folder, SCHEMA).cases
    return read_case(case, **options)


def oblique_thick_affine():
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [12, -7, 5], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-0.9, 0.9, 5.5])
    affine[:3, 3] = (40, -30, 12)
    return affine


def test_the_percentile_is_that_of_the_non_zero_voxels_of_the_whole_volume():
    rng = np.random.default_rng(0)
    channel = np.zeros((20, 20, 20), np.float32)
    channel[5:15, 5:15, 5:15] = rng.uniform(1, 1000, (10, 10, 10))
    top = np.percentile(channel[channel != 0], 99.9)
    scaled = to_uint8(channel[None], 99.9)[0]
    np.testing.assert_array_equal(scaled, np.rint(np.clip(channel / top * 255, 0, 255)))
    assert scaled.max() == 255


def test_what_lies_outside_the_brain_mask_does_not_count_for_the_percentile():
    channel = np.arange(1, 1001, dtype=np.float32).reshape(10, 10, 10)
    mask = channel <= 500
    scaled = to_uint8(channel[None], 99.9, mask)[0]
    np.testing.assert_array_equal(scaled, to_uint8((channel * mask)[None], 99.9)[0])
    assert scaled[mask].max() == 255
    assert not scaled[~mask].any()


def test_an_absent_modality_stays_zero_and_negative_values_are_clipped():
    channels = np.stack([np.zeros((4, 4, 4)), np.linspace(-5, 10, 64).reshape(4, 4, 4)]).astype(np.float32)
    scaled = to_uint8(channels, 99.9)
    assert scaled[0].max() == 0
    assert scaled[1].min() == 0


def test_the_box_is_that_of_all_modalities_with_a_margin_inside_the_array():
    image = np.zeros((2, 30, 30, 30))
    image[0, 12:15, 3, 20] = 1
    image[1, 13, 3:6, 20] = 1
    assert brain_box(image, 10) == (slice(2, 25), slice(0, 16), slice(10, 30))


def test_a_label_survives_the_way_there_and_back_exactly_where_nothing_is_resampled(tmp_path):
    affine = oblique_thick_affine()
    write_patient(tmp_path, affine=affine)
    volumes = read(tmp_path)
    spacing = PreprocessConfig(spacing_mm=1.0, margin_voxels=2)
    step = Preprocess(spacing)
    # Keep the grid as it is: pretend that the target spacing is each axis' own.
    step._target_grid = lambda grid: grid  # type: ignore[method-assign]
    prepared = step.apply(volumes)
    assert prepared.label_zyx.shape == prepared.image_czyx.shape[1:]
    assert prepared.label_zyx.shape != volumes.label_zyx.shape
    back = step.undo(prepared.label_zyx, prepared.grid, volumes.image.grid)
    np.testing.assert_array_equal(back, volumes.label_zyx)


def test_a_resampled_label_comes_back_to_the_right_voxels(tmp_path):
    write_patient(tmp_path, affine=oblique_thick_affine(), shape_xyz=(40, 44, 12))
    volumes = read(tmp_path)
    step = Preprocess()
    prepared = step.apply(volumes)
    assert prepared.grid.spacing_mm_zyx == pytest.approx((1, 1, 1))
    assert not step.is_exact(prepared.grid, volumes.image.grid)
    back = step.undo(prepared.label_zyx, prepared.grid, volumes.image.grid)
    overlap = 2 * ((back == volumes.label_zyx) & (back > 0)).sum() / ((back > 0).sum() + (volumes.label_zyx > 0).sum())
    assert overlap > 0.9
    for value in (1, 2, 3):
        center = [np.argwhere(labels == value).mean(axis=0) for labels in (back, volumes.label_zyx)]
        np.testing.assert_allclose(*center, atol=0.6)


@pytest.mark.parametrize("codes", ["RAS", "ASL", "PIR"])
def test_the_order_of_axes_on_disk_does_not_matter(tmp_path, codes):
    place = write_patient(tmp_path / "a")
    reorient(place, tmp_path / "b", codes)
    one, two = (Preprocess().apply(read(tmp_path / name)) for name in "ab")
    np.testing.assert_array_equal(one.image_czyx, two.image_czyx)
    np.testing.assert_array_equal(one.label_zyx, two.label_zyx)
    np.testing.assert_allclose(one.grid.affine_xyz, two.grid.affine_xyz, atol=1e-6)


def test_outside_a_brain_mask_there_is_nothing(tmp_path):
    place = write_patient(tmp_path)
    image = nib.load(next(place.glob("*-t1c.nii.gz")))
    mask = np.zeros(image.shape, np.uint8)
    mask[8:14, 8:14, 8:14] = 1
    nib.save(nib.Nifti1Image(mask, image.affine), place / f"{place.name}-brain_mask.nii.gz")
    prepared = Preprocess(PreprocessConfig(margin_voxels=0)).apply(read(tmp_path))
    assert prepared.image_czyx.shape == (4, 6, 6, 6)


def test_an_image_that_is_empty_inside_its_mask_is_refused_by_name(tmp_path):
    write_patient(tmp_path)
    volumes = read(tmp_path)
    nothing = replace(volumes, brain_mask_zyx=np.zeros(volumes.image.grid.shape_zyx, bool))
    with pytest.raises(InputError, match=r"BraTS-GLI-00001-000.*brain mask"):
        Preprocess().apply(nothing)


def test_spacing_within_a_percent_of_the_target_is_left_alone(tmp_path):
    write_patient(tmp_path, affine=np.diag([1.005, 1.0, 0.995, 1]))
    volumes = read(tmp_path)
    prepared = Preprocess().apply(volumes)
    assert Preprocess().is_exact(prepared.grid, volumes.image.grid)
    assert isinstance(prepared.grid, Grid)


@pytest.mark.real
def test_the_percentile_of_a_real_t1c_is_the_published_one(shared_data):
    found = {}
    for case in find_cases(shared_data / "brats2021").cases:
        image = read_case(case, with_label=False).image.array[1]
        found[case.id] = round(float(np.percentile(image[image != 0], 99.9)))
        if found[case.id] == 8901:
            return
    pytest.fail(f"no T1c has its 99.9th non-zero percentile at 8901: {found}")


def test_the_median_of_tissue_becomes_one_half_whatever_the_brightest_voxel_is():
    rng = np.random.default_rng(0)
    image = np.zeros((4, 12, 12, 12), np.uint8)
    image[0, 2:10] = rng.integers(30, 51, (8, 12, 12))
    image[1, 2:10] = rng.integers(120, 181, (8, 12, 12))
    image[3, 5:, :, 3] = 77
    scaled = image * input_scale(image)[:, None, None, None]
    for channel in (0, 1, 3):
        assert np.median(scaled[channel][image[channel] > 0]) == pytest.approx(0.5, abs=0.01)
    assert (scaled[image == 0] == 0).all()
    assert scaled[2].max() == 0
