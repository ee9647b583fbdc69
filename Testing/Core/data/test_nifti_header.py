"""Headers are read and written here, and nibabel says what is right."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from voxmmsd.data.formats.nifti_header import HeaderError, NiftiHeader, header_bytes
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.volume import Grid, Volume, canonical

TYPES = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64)


def affines():
    """Of axes in any order and direction, tilted, and sheared."""
    rng = np.random.default_rng(0)
    for number in range(60):
        affine = np.eye(4)
        spacing = rng.uniform(0.3, 5, 3) * rng.choice([-1, 1], 3)
        turn = (np.eye(3)[:, rng.permutation(3)], Rotation.random(random_state=number).as_matrix())
        affine[:3, :3] = (*turn, rng.normal(size=(3, 3)))[number % 3] * spacing
        affine[:3, 3] = rng.normal(size=3) * 100
        yield affine


def written_by_nibabel(file, array_zyx, grid, scale):
    image = nib.Nifti1Image(array_zyx.T, grid.affine_xyz)
    image.set_data_dtype(array_zyx.dtype)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(scale, 0)
    image.set_sform(grid.affine_xyz, code="scanner")
    image.set_qform(grid.affine_xyz, code="scanner", strip_shears=True)
    nib.save(image, file)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_written_file_is_that_of_nibabel_byte_for_byte_but_for_the_sign_of_a_half_turn(tmp_path, ending):
    for number, affine in enumerate(affines()):
        grid, scale = Grid((2 + number % 3, 4, 5), affine), (1.0, 1 / 255)[number % 2]
        array = np.random.default_rng(number).integers(0, 100, grid.shape_zyx).astype(TYPES[number % len(TYPES)])
        ours, theirs = tmp_path / f"ours{ending}", tmp_path / f"theirs{ending}"
        write_nifti(ours, array, grid, scale)
        written_by_nibabel(theirs, array, grid, scale)
        np.testing.assert_allclose(nib.load(ours).get_qform(), nib.load(theirs).get_qform(), rtol=0, atol=1e-6)
        found, expected = (bytearray(nib.openers.Opener(str(file)).read()) for file in (ours, theirs))
        w = nib.load(theirs).header.get_qform_quaternion()[0]
        if abs(w) < 1e-3:  # both signs are the same turn
            found[256:268] = expected[256:268]
        same = np.abs(np.frombuffer(found[256:268], "<f4") - np.frombuffer(expected[256:268], "<f4")).max() < 1e-6
        found[256:268] = expected[256:268]
        assert same and found == expected
    plain = Grid((2, 3, 4), np.diag([-1.0, -1.0, 1.0, 1.0]))
    write_nifti(ours, np.ones((2, 3, 4), np.uint8), plain)
    written_by_nibabel(theirs, np.ones((2, 3, 4), np.uint8), plain, 1.0)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_header_of_either_version_and_byte_order_says_what_nibabel_reads_in_it(kind, order):
    for number, affine in enumerate(affines()):
        theirs = kind(endianness=order)
        theirs.set_data_dtype(TYPES[number % len(TYPES)])
        theirs.set_data_shape((5, 4, 3, 2)[: 3 + number % 2])
        theirs.set_sform(affine, "scanner")
        theirs.set_qform(affine, "scanner")
        theirs.set_slope_inter(2.5, -3)
        theirs["vox_offset"] = 600
        ours = NiftiHeader.of(1 if kind is nib.Nifti1Header else 2, theirs.binaryblock)
        assert (ours.dtype, ours.shape_xyz) == (theirs.get_data_dtype(), theirs.get_data_shape())
        assert ours.slope_inter == theirs.get_slope_inter() and int(ours.fields["vox_offset"]) == 600
        np.testing.assert_array_equal(ours.sform(), theirs.get_sform())
        np.testing.assert_allclose(ours.qform(), theirs.get_qform(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(ours.base_affine(), theirs.get_base_affine(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "ask"),
    [
        ("datatype", 3, lambda header: header.dtype),
        ("quatern_b", 1.2, NiftiHeader.qform),
        ("pixdim", [1, -1, 1, 1, 1, 1, 1, 1], NiftiHeader.qform),
        ("scl_inter", np.inf, lambda header: header.slope_inter),
    ],
)
def test_what_nibabel_refuses_in_a_header_is_refused(field, value, ask):
    theirs = nib.Nifti1Header()
    theirs["scl_slope"], theirs["scl_inter"] = 2, 0
    ask(NiftiHeader.of(1, theirs.binaryblock)) if field != "datatype" else None
    theirs[field] = value
    with pytest.raises(HeaderError):
        ask(NiftiHeader.of(1, theirs.binaryblock))


def test_a_slope_that_says_nothing_leaves_values_as_they_are():
    for slope in (0, np.nan, np.inf):
        theirs = nib.Nifti1Header()
        theirs["scl_slope"], theirs["scl_inter"] = slope, 5
        assert NiftiHeader.of(1, theirs.binaryblock).slope_inter is None


def test_the_bytes_of_a_header_come_back_as_what_they_were_made_of():
    for affine in affines():
        grid = Grid((3, 4, 5), affine)
        header = NiftiHeader.of(1, header_bytes(np.zeros(grid.shape_zyx, np.int16), grid)[:348])
        assert (header.dtype, header.shape_xyz, header.slope_inter) == (np.int16, (5, 4, 3), (1, 0))
        np.testing.assert_allclose(header.sform(), affine, rtol=1e-6, atol=1e-5)


def test_canonical_equals_nibabel_for_tilted_axes_too():
    for number, affine in enumerate(affines()):
        array = np.random.default_rng(number).random((3, 4, 5))
        found = canonical(Volume(array, Grid(array.shape, affine)))
        expected = nib.as_closest_canonical(nib.Nifti1Image(array.T, affine))
        np.testing.assert_array_equal(found.array.T, np.asarray(expected.dataobj))
        np.testing.assert_array_equal(found.grid.affine_xyz, expected.affine)
