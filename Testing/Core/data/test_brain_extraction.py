"""The network that comes along finds the brain in a head, whatever its grid, orientation and sequence."""

import numpy as np
import pytest

from voxmmsd.data.brain_extraction import extract_brain, from_blocks, in_blocks, scaled_head
from voxmmsd.data.brain_mask import largest_piece
from voxmmsd.data.cases import case_from_files, read_case
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.volume import Grid, Volume, canonical
from voxmmsd.errors import InputError

SEQUENCES = {"t1n": "T1", "t1c": "T1_post", "t2w": "T2", "t2f": "FLAIR"}


@pytest.fixture(scope="module")
def place(shared_data):
    return shared_data / "native" / "TCGA-FG-6692"


def head(place, name):
    return read_volume(Source(place / f"{SEQUENCES[name]}.nii.gz"))


def ml(mask, grid):
    return mask.sum() * grid.voxel_volume_ml


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_blocks_are_put_back_where_they_were():
    array = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    blocks = in_blocks(array)
    assert blocks.shape == (8, 2, 3, 4)
    np.testing.assert_array_equal(blocks[:, 0, 0, 0], array[:2, :2, :2].ravel())
    np.testing.assert_array_equal(from_blocks(blocks), array)


def test_brightness_does_not_matter_nor_does_air_around_the_head():
    array = np.zeros((20, 20, 20), np.float32)
    array[5:15, 5:15, 5:15] = np.random.default_rng(0).uniform(1, 9, (10, 10, 10))
    scaled = scaled_head(array)
    np.testing.assert_allclose(scaled_head(7 * array), scaled, rtol=1e-5)
    np.testing.assert_allclose(scaled_head(np.pad(array, 9))[9:29, 9:29, 9:29], scaled, rtol=1e-5)
    assert np.isfinite(scaled_head(np.zeros((4, 4, 4)))).all()


def test_only_the_largest_piece_stays_and_its_holes_are_filled():
    mask = np.zeros((12, 12, 12), bool)
    mask[1:9, 1:9, 1:9] = True
    expected = mask.copy()
    mask[4, 4, 4] = False
    mask[11, 11, 11] = True
    np.testing.assert_array_equal(largest_piece(mask), expected)
    assert not largest_piece(np.zeros((3, 3, 3), bool)).any()


def test_an_image_without_a_brain_is_refused():
    array = np.zeros((40, 40, 40), np.int16)
    with pytest.raises(InputError, match="no brain was found"):
        extract_brain(Volume(array, Grid(array.shape, np.diag([3.0, 3.0, 3.0, 1.0]))))
    array[18:22, 18:22, 18:22] = 9
    with pytest.raises(InputError, match="no brain was found"):
        extract_brain(Volume(array, Grid(array.shape, np.diag([3.0, 3.0, 3.0, 1.0]))))


@pytest.mark.real
@pytest.mark.parametrize("name", SEQUENCES)
def test_each_sequence_alone_gives_a_brain_of_the_right_size(place, name):
    volume = head(place, name)
    assert 1350 < ml(extract_brain(volume), volume.grid) < 1800, "HD-BET finds 1,577 to 1,618 ml"


@pytest.mark.real
def test_axes_in_another_order_and_direction_give_the_same_brain(place):
    volume = head(place, "t1c")
    turned = canonical(volume)
    mirrored = Volume(turned.array[::-1, :, ::-1].copy(), turned.grid)
    affine = turned.grid.affine_xyz.copy()
    for axis, size in ((0, turned.array.shape[2]), (2, turned.array.shape[0])):
        affine[:3, 3] += affine[:3, axis] * (size - 1)
        affine[:3, axis] *= -1
    mirrored = Volume(mirrored.array, Grid(mirrored.array.shape, affine))
    np.testing.assert_array_equal(extract_brain(mirrored)[::-1, :, ::-1], extract_brain(turned))
    assert dice(extract_brain(turned), canonical(Volume(extract_brain(volume), volume.grid)).array) > 0.999


@pytest.mark.real
def test_one_mask_of_all_sequences_serves_them_all(place):
    pytest.importorskip("SimpleITK")
    files = {name: place / f"{file}.nii.gz" for name, file in SEQUENCES.items()}
    volumes = read_case(case_from_files("native", **files), aligned=True, brain_mask="voxmmsd")
    assert "brain mask by the built-in network from t1n, t1c, t2w, t2f" in volumes.notes
    alone = extract_brain(head(place, "t1c"))
    assert dice(volumes.brain_mask_zyx, alone) > 0.9
