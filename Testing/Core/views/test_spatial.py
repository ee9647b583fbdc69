import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from voxmmsd.views.spatial import PatchPlace, SpatialRanges, cut_patch, draw_matrix


def smooth_case(shape=(30, 34, 38)):
    z, y, x = np.indices(shape)
    image = 100 + 60 * np.sin(z / 5) * np.cos(y / 6) + 60 * np.sin(x / 7)
    return np.stack([image, 220 - image, image / 2, image / 3]).astype(np.uint8), (image > 120).astype(np.uint8)


def test_without_rotation_the_patch_is_a_copy():
    image, label = smooth_case()
    patch, patch_label = cut_patch(image, label, PatchPlace(np.array([15, 16, 20]), np.eye(3)), 8)
    np.testing.assert_array_equal(patch, image[:, 11:19, 12:20, 16:24])
    np.testing.assert_array_equal(patch_label, label[11:19, 12:20, 16:24])


def test_flips_turn_the_patch_about_its_own_center():
    image, label = smooth_case()
    center = np.array([15, 16, 20])
    plain, plain_label = cut_patch(image, label, PatchPlace(center, np.eye(3)), 8)
    flipped, flipped_label = cut_patch(image, label, PatchPlace(center, np.diag([-1.0, 1.0, -1.0])), 8)
    assert torch.equal(flipped, plain.flip(1, 3))
    assert torch.equal(flipped_label, plain_label.flip(0, 2))


@pytest.mark.parametrize("matrix", [np.diag([-1.0, 1.0, -1.0]), Rotation.from_rotvec([0, 0.3, 0]).as_matrix() * 0.9])
@pytest.mark.parametrize("center", [(15, 16, 20), (2, 30, 20)])
def test_a_case_of_tensors_as_on_a_gpu_gives_the_same_patch(matrix, center):
    case, place = smooth_case(), PatchPlace(np.array(center), matrix)
    for found, expected in zip(
        cut_patch(*map(torch.from_numpy, case), place, 12), cut_patch(*case, place, 12), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("size", [8, 9])
def test_a_rotated_and_scaled_patch_equals_scipys_resampling(size):
    image, label = smooth_case()
    center = np.array([15.0, 16.0, 20.0])
    matrix = Rotation.from_rotvec([0.3, -0.2, 0.4]).as_matrix() @ np.diag([1, -1, 1]) * 1.2
    patch, patch_label = cut_patch(image, label, PatchPlace(center, matrix), size)
    offset = center - matrix @ np.full(3, (size - 1) / 2)
    for channel, got in zip(image.astype(np.float32), patch, strict=True):
        expected = affine_transform(channel, matrix, offset, (size,) * 3, order=1)
        np.testing.assert_allclose(got, expected, atol=0.01)
    expected = affine_transform(label, matrix, offset, (size,) * 3, order=0)
    assert (patch_label.numpy() != expected).mean() < 0.01  # ties between two voxels may fall either way


@pytest.mark.parametrize("matrix", [np.eye(3), Rotation.from_rotvec([0, 0.3, 0]).as_matrix()])
def test_outside_the_case_is_zero_and_a_small_case_fits_in_a_large_patch(matrix):
    image, label = np.ones((4, 6, 6, 6), np.uint8), np.ones((6, 6, 6), np.uint8)
    patch, patch_label = cut_patch(image, label, PatchPlace(np.array([3, 3, 3]), matrix), 16)
    assert patch.shape == (4, 16, 16, 16)
    assert patch[0].sum() == pytest.approx(6**3, rel=0.1)
    assert int(patch_label.sum()) == pytest.approx(6**3, rel=0.1)
    assert patch[:, 0].max() == 0


def test_matrices_are_drawn_within_their_ranges_and_as_often_as_asked():
    rng = np.random.default_rng(0)
    matrices = [draw_matrix(SpatialRanges(), rng) for _ in range(4000)]
    scales = np.array([abs(np.linalg.det(m)) ** (1 / 3) for m in matrices])
    assert scales.min() >= 0.8 - 1e-9
    assert scales.max() <= 1.25 + 1e-9
    assert (np.abs(scales - 1) > 1e-9).mean() == pytest.approx(0.3, abs=0.03)
    plain = [m / s for m, s in zip(matrices, scales, strict=True)]
    turned = np.mean([not np.allclose(np.abs(m), np.eye(3)) for m in plain])
    assert turned == pytest.approx(0.3, abs=0.03)
    assert np.mean([np.linalg.det(m) < 0 for m in matrices]) == pytest.approx(0.5, abs=0.03)
