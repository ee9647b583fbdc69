import numpy as np
import pytest
from corrected_cases import images_of, phantom

from voxmmsd.data.volume import Grid, Volume
from voxmmsd.errors import LibraryError
from voxmmsd.library.images import brain_only, image_hash, storable


def with_a_head(one):
    """Air and skin around the brain: noise, nowhere 0."""
    noise = np.random.default_rng(0).uniform(1, 50, one.image_czyx.shape).astype(np.float32)
    return {name: Volume(np.where(v.array > 0, v.array, n), v.grid)
            for (name, v), n in zip(images_of(one).items(), noise, strict=True)}  # fmt: skip


def test_a_head_is_refused_and_with_its_brain_mask_only_the_brain_is_kept():
    one = phantom(0)
    head = with_a_head(one)
    with pytest.raises(LibraryError, match="shows a face"):
        brain_only("c1", head, None)
    mask = Volume((one.image_czyx[0] > 0).astype(np.uint8), one.grid)
    kept = brain_only("c1", head, mask)
    for name, volume in images_of(one).items():
        np.testing.assert_array_equal(kept[name].array, volume.array)


def test_a_mask_on_another_grid_is_brought_to_each_image():
    one = phantom(0)
    mask = Volume((one.image_czyx[0] > 0).astype(np.uint8), one.grid)
    turned = Volume(mask.array[:, :, ::-1], Grid(one.grid.shape_zyx, flipped_x(one.grid)))
    kept = brain_only("c1", with_a_head(one), turned)
    np.testing.assert_array_equal(kept["t1c"].array > 0, mask.array > 0)


def flipped_x(grid):
    affine = grid.affine_xyz.copy()
    affine[:3, 3] += affine[:3, 0] * (grid.shape_zyx[2] - 1)
    affine[:3, 0] *= -1
    return affine


def test_real_stripped_cases_are_taken_and_a_head_as_scanned_is_not(shared_data):
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.formats.sources import read_volume

    for folder, is_head in ((shared_data / "brats2021" / "BraTS2021_00000", False), (shared_data / "native", True)):
        (case,) = find_cases(folder).cases
        images = {name: read_volume(source) for name, source in case.modalities.items()}
        if is_head:
            with pytest.raises(LibraryError, match="shows a face"):
                brain_only("c1", images, None)
        else:
            assert set(brain_only("c1", images, None)) == set(images)


def test_no_or_unknown_or_empty_images_are_refused():
    one = phantom(0)
    empty = Volume(np.zeros_like(one.image_czyx[0]), one.grid)
    for images, message in (({}, "has the images none"), ({"dwi": empty}, "dwi"), ({"t1c": empty}, "t1c is 0")):
        with pytest.raises(LibraryError, match=message):
            brain_only("c1", images, None)


def test_the_hash_is_of_the_voxels_not_of_how_they_are_stored():
    one = phantom(0)
    whole = {name: Volume(np.rint(v.array).astype(np.int16), v.grid) for name, v in images_of(one).items()}
    as_float = {name: Volume(v.array.astype(np.float32), v.grid) for name, v in whole.items()}
    assert image_hash(whole) == image_hash(as_float) != image_hash(images_of(phantom(1)))


@pytest.mark.parametrize(
    ("given", "stored"),
    [("int16", "int16"), ("uint8", "uint8"), ("int64", "int32"), ("bool", "int32"), ("float64", "float32")]
)  # fmt: skip
def test_voxels_are_stored_in_a_type_that_nifti_readers_know(given, stored):
    assert storable(np.ones((2, 2, 2), given)).dtype == stored
