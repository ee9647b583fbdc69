import numpy as np

from voxmmsd.data.volume import Grid, Volume
from voxmmsd.labels import schema_named
from voxmmsd.library.changes import changed_voxels
from voxmmsd.library.records import Change

OLD, NEW = schema_named("brats-gli-2023"), schema_named("brats-gli-2024")


def line(*indices):
    array = np.array(indices, np.uint8).reshape(1, 1, -1)
    return Volume(array, Grid(array.shape, np.eye(4)))


def test_tissues_are_matched_across_schemas_and_a_new_one_comes_from_nothing():
    found = changed_voxels(line(1, 2, 3, 3, 0), OLD, line(1, 2, 4, 3, 4), NEW)
    assert found == {"NETC": Change(0, 0), "SNFH": Change(0, 0), "ET": Change(0, 1), "RC": Change(2, 0)}


def test_a_tissue_that_the_new_schema_lacks_goes_to_nothing():
    found = changed_voxels(line(4, 4, 2), NEW, line(0, 3, 2), OLD)
    assert found == {"NCR": Change(0, 0), "ED": Change(0, 0), "ET": Change(1, 0), "RC": Change(0, 2)}


def test_labels_on_two_grids_are_compared_in_space():
    before = line(0, 1, 2)
    flipped = Volume(
        before.array[:, :, ::-1], Grid((1, 1, 3), [[-1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    )
    assert set(changed_voxels(before, OLD, flipped, OLD).values()) == {Change(0, 0)}
