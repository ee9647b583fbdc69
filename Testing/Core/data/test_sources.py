"""Images on disk: what is read, and what is refused in one sentence."""

import gzip
import hashlib
import struct
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series

from voxmmsd.data.formats.sources import Source, has_sha256, read_volume, source_sha256
from voxmmsd.errors import InputError
from voxmmsd.files import sha256_of

# Left-handed, turned by 0.2, anisotropic.
AFFINE = np.array(
    [
        [-0.9 * np.cos(0.2), 0, 2.5 * np.sin(0.2), 50],
        [0, 0.9, 0, -60],
        [0.9 * np.sin(0.2), 0, 2.5 * np.cos(0.2), -20],
        [0, 0, 0, 1],
    ]
)


def numbers(shape=(5, 6, 7), dtype=np.int16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def save(path, array, affine=AFFINE, **header):
    image = nib.Nifti1Image(array, affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return Source(path)


def rewrite(path, edit):
    """Change the bytes of a .nii file's header."""
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(content)
    return Source(path)


def refusal(source):
    with pytest.raises(InputError) as caught:
        read_volume(source)
    text = str(caught.value)
    assert str(source.path) in text and "\n" not in text
    return text


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i2", np.float32, np.float64])
def test_a_nifti_is_read_as_nibabel_reads_it(tmp_path, ending, dtype):
    array = numbers(dtype=np.dtype(dtype).newbyteorder("="))
    image = nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=">" if dtype == ">i2" else "<"))
    image.set_data_dtype(np.dtype(dtype))
    file = tmp_path / f"a{ending.lower()}"
    nib.save(image, file)
    volume = read_volume(Source(file.rename(tmp_path / f"a{ending}")))
    assert np.array_equal(volume.array, array.T)
    assert volume.array.dtype == (np.float32 if array.dtype.kind == "f" else array.dtype)
    assert np.allclose(volume.grid.affine_xyz, AFFINE, atol=1e-5)


def test_a_nifti_2_is_read(tmp_path):
    nib.save(nib.Nifti2Image(numbers(), AFFINE), tmp_path / "a.nii.gz")
    assert np.array_equal(read_volume(Source(tmp_path / "a.nii.gz")).array, numbers().T)


def test_the_headers_scaling_is_applied(tmp_path):
    image = nib.Nifti1Image(numbers(), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii.gz")
    expected = nib.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.allclose(read_volume(Source(tmp_path / "a.nii.gz")).array, expected.T)


def test_a_gzip_of_many_members_is_read(tmp_path):
    save(tmp_path / "a.nii", numbers())
    content = (tmp_path / "a.nii").read_bytes()
    parts = [gzip.compress(content[i : i + 100]) for i in range(0, len(content), 100)]
    (tmp_path / "a.nii.gz").write_bytes(b"".join(parts) + b"\0" * 512)
    assert np.array_equal(read_volume(Source(tmp_path / "a.nii.gz")).array, numbers().T)


def test_a_singleton_fourth_axis_is_fine(tmp_path):
    assert read_volume(save(tmp_path / "a.nii.gz", numbers()[..., None])).array.shape == (7, 6, 5)


def test_one_frame_of_a_4d_file_is_read(tmp_path):
    array = numbers((5, 6, 7, 3))
    file = save(tmp_path / "a.nii.gz", array).path
    assert np.array_equal(read_volume(Source(file, channel=2)).array, array[..., 2].T)
    assert "no volume 3" in refusal(Source(file, channel=3))


def test_several_volumes_where_one_is_expected_are_refused(tmp_path):
    assert "holds 3 volumes" in refusal(save(tmp_path / "a.nii.gz", numbers((5, 6, 7, 3))))


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (1, 6, 7)])
def test_a_picture_is_no_volume(tmp_path, shape):
    assert "not a 3-D volume" in refusal(save(tmp_path / "a.nii.gz", numbers(shape)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused(tmp_path, value):
    array = numbers(dtype=np.float32)
    array[2, 3, 4] = value
    assert "1 NaN or infinite" in refusal(save(tmp_path / "a.nii.gz", array))


def test_a_float64_beyond_float32_is_refused(tmp_path):
    array = numbers(dtype=np.float64)
    array[0, 0, 0] = 1e300
    assert "infinite" in refusal(save(tmp_path / "a.nii.gz", array))


def test_the_widest_finite_range_is_read(tmp_path):
    array = numbers(dtype=np.float32)
    array[0, 0, :2] = 3e38, -3e38
    assert read_volume(save(tmp_path / "a.nii.gz", array)).array.max() == np.float32(3e38)


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_complex_and_colored_voxels_are_refused(tmp_path, dtype):
    assert "plain numbers" in refusal(save(tmp_path / "a.nii.gz", np.zeros((5, 6, 7), dtype)))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1.0, 0, 1, 1]), "is implausible"),
        (np.diag([1000.0, 1, 1, 1]), "is implausible"),
        (np.diag([0.001, 0.001, 0.001, 1]), "is implausible"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (np.diag([np.nan, 1, 1, 1]), "NaN"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path, affine, words):
    save(tmp_path / "a.nii", numbers())
    rows = struct.pack("<12f", *affine[:3].ravel())
    source = rewrite(tmp_path / "a.nii", lambda b: b.__setitem__(slice(280, 328), rows))
    assert words in refusal(source)


def test_a_spacing_of_zero_in_the_qform_is_refused(tmp_path):
    image = nib.Nifti1Image(numbers(), None)
    image.set_qform(np.diag([1.0, 1, 1, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    source = rewrite(tmp_path / "a.nii", lambda b: b.__setitem__(slice(80, 84), struct.pack("<f", 0)))
    assert "is implausible" in refusal(source)


def test_the_sform_comes_before_the_qform(tmp_path):
    image = nib.Nifti1Image(numbers(), None)
    other = AFFINE + np.array([[0, 0, 0, 30.0]] + [[0] * 4] * 3)
    image.set_sform(AFFINE, 1)
    image.set_qform(other, 1)
    nib.save(image, tmp_path / "both.nii.gz")
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "qform.nii.gz")
    assert np.allclose(read_volume(Source(tmp_path / "both.nii.gz")).grid.affine_xyz, AFFINE, atol=1e-4)
    qform = read_volume(Source(tmp_path / "qform.nii.gz")).grid.affine_xyz
    assert np.allclose(qform, nib.load(tmp_path / "qform.nii.gz").affine, atol=1e-4) and qform[0, 3] == pytest.approx(
        80
    )


def test_a_file_that_is_missing_empty_or_something_else_is_refused(tmp_path):
    assert "no such file" in refusal(Source(tmp_path / "none.nii.gz"))
    (tmp_path / "empty.nii.gz").touch()
    assert "empty file" in refusal(Source(tmp_path / "empty.nii.gz"))
    (tmp_path / "text.nii.gz").write_text("Not found " * 100)
    assert "not a NIfTI" in refusal(Source(tmp_path / "text.nii.gz"))
    (tmp_path / "short.nii").write_bytes(b"abc")
    assert "truncated" in refusal(Source(tmp_path / "short.nii"))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_gzip_cut_short_is_refused(tmp_path, kept):
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    file = save(tmp_path / "a.nii.gz", noise).path
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    assert "truncated" in refusal(Source(file))


def test_a_plain_file_cut_short_is_refused(tmp_path):
    file = save(tmp_path / "a.nii", numbers((20, 20, 20))).path
    file.write_bytes(file.read_bytes()[:5000])
    assert "cannot hold" in refusal(Source(file))


def test_a_flipped_bit_in_a_gzip_is_noticed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    file = save(tmp_path / "a.nii.gz", noise).path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    assert "damaged" in refusal(Source(file)) or "truncated" in refusal(Source(file))


@pytest.mark.parametrize("size", [(700, 700, 700), (30000, 30000, 30000), (800, 800, 800)])
def test_a_header_that_claims_gigabytes_is_refused_before_memory_is_taken(tmp_path, size):
    save(tmp_path / "a.nii", numbers())
    rewrite(tmp_path / "a.nii", lambda b: b.__setitem__(slice(42, 48), struct.pack("<3h", *size)))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    for name in ("a.nii", "a.nii.gz"):
        tracemalloc.start()
        started = time.perf_counter()
        assert "claims" in refusal(Source(tmp_path / name))
        assert tracemalloc.get_traced_memory()[1] < 20e6 and time.perf_counter() - started < 1
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("where", "bytes_"),
    [
        (42, struct.pack("<h", -5)),
        (70, struct.pack("<h", 9999)),
        (108, struct.pack("<f", 1e30)),
        (40, struct.pack("<h", 99)),
    ],
)
def test_a_broken_header_is_refused(tmp_path, where, bytes_):
    save(tmp_path / "a.nii", numbers())
    source = rewrite(tmp_path / "a.nii", lambda b: b.__setitem__(slice(where, where + len(bytes_)), bytes_))
    refusal(source)


def test_any_damage_to_a_header_is_an_input_error_or_harmless(tmp_path):
    save(tmp_path / "good.nii", numbers())
    good = (tmp_path / "good.nii").read_bytes()
    generator = np.random.default_rng(7)
    for _ in range(150):
        content = bytearray(good)
        for place in generator.integers(0, 352, 6):
            content[place] = generator.integers(256)
        (tmp_path / "bad.nii").write_bytes(content)
        try:
            volume = read_volume(Source(tmp_path / "bad.nii"))
        except InputError:
            continue
        assert np.isfinite(volume.array).all() and np.isfinite(volume.grid.affine_xyz).all()


@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd", "nhdr"])
def test_nrrd_and_metaimage_lie_where_the_nifti_lies(tmp_path, ending):
    sitk = pytest.importorskip("SimpleITK")
    expected = read_volume(save(tmp_path / "a.nii.gz", numbers()))
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / f"a.{ending}"), useCompression=True)
    volume = read_volume(Source(tmp_path / f"a.{ending}"))
    assert np.array_equal(volume.array, expected.array) and volume.grid.same_as(expected.grid, 1e-3)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("mhd", "ElementDataFile = a-1.raw"),
        ("mhd", "ElementDataFile = LIST\na-1.raw\na-2.raw"),
        ("mhd", "ElementDataFile = a-%d.raw 1 2 1"),
        ("nhdr", "data file: a-1.raw"),
        ("nhdr", "datafile: LIST 2\na-1.raw\na-2.raw"),
        ("nrrd", "data file: ./a-%01d.raw 1 2 1"),
    ],
)
def test_voxels_apart_from_their_header_are_part_of_the_digest(tmp_path, header, names, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    tmp_path = Path(tmp_path.name)
    start = "NRRD0004\ntype: short\n" if header.startswith("n") else "ObjectType = Image\nNDims = 3\n"
    (tmp_path / f"a.{header}").write_text(f"{start}{names}\n")
    for number in (1, 2):
        (tmp_path / f"a-{number}.raw").write_bytes(bytes(8))
    (tmp_path / "b-1.raw").write_bytes(bytes(8))
    source = Source(tmp_path / f"a.{header}")
    before = source_sha256(source)
    (tmp_path / "b-1.raw").write_bytes(b"\1" * 8)
    assert source_sha256(source) == before and has_sha256(source, before)
    (tmp_path / f"a-{1 + ('2' in names.rpartition('.raw')[0] or '%' in names)}.raw").write_bytes(b"\1" * 8)
    assert source_sha256(source) != before and not has_sha256(source, before)
    header_alone = hashlib.sha256(sha256_of(source.path).encode()).hexdigest()
    assert has_sha256(source, header_alone)


def test_the_digest_of_a_header_is_that_of_its_file_where_the_voxels_follow_it(tmp_path):
    for name, start in (
        ("a.nrrd", "NRRD0004\ntype: short\n\ndata file: b.raw\n"),
        ("a.mha", "ObjectType = Image\nElementDataFile = LOCAL\nb.raw\n"),
    ):
        (tmp_path / name).write_text(start)
        assert source_sha256(Source(tmp_path / name)) == hashlib.sha256(sha256_of(tmp_path / name).encode()).hexdigest()


def test_the_digest_of_a_series_is_that_of_its_own_slices(tmp_path):
    array = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    write_series(tmp_path / "one", array, "1.2.3", "T1")
    one = Source(tmp_path / "one", series_uid="1.2.3")
    before = source_sha256(one)
    assert source_sha256(Source(tmp_path / "one")) == before
    (tmp_path / "one" / "notes.txt").write_text("seen")
    assert source_sha256(one) == before
    write_series(tmp_path / "one", array + 1, "1.2.4", "FLAIR", names="FL")
    other = Source(tmp_path / "one", series_uid="1.2.4")
    assert source_sha256(one) == before != source_sha256(other)
    whole = "".join(sha256_of(file) for file in sorted((tmp_path / "one").iterdir()))
    assert has_sha256(one, hashlib.sha256(whole.encode()).hexdigest())
    write_series(tmp_path / "one", array + 2, "1.2.3", "T1")
    assert source_sha256(one) != before


def test_a_broken_nrrd_and_a_colored_mha_are_refused(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    (tmp_path / "a.nrrd").write_text("NRRD0004\ntype: short\ndimension: 3\nsizes: 5 5 5\nencoding: raw\n\nxx")
    refusal(Source(tmp_path / "a.nrrd"))
    (tmp_path / "b.mha").touch()
    assert "empty" in refusal(Source(tmp_path / "b.mha"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(tmp_path / "c.mha"))
    assert "3 volumes" in refusal(Source(tmp_path / "c.mha"))
    (tmp_path / "d.mha").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 700 700 700\nElementType = MET_SHORT\nElementDataFile = LOCAL\nxx"
    )
    assert "claims" in refusal(Source(tmp_path / "d.mha"))


def test_without_simpleitk_a_nrrd_says_what_to_install(tmp_path, monkeypatch):
    from voxmmsd.errors import MissingDependencyError

    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    (tmp_path / "a.nrrd").write_text("NRRD0004")
    with pytest.raises(MissingDependencyError, match="pip install"):
        read_volume(Source(tmp_path / "a.nrrd"))


@pytest.mark.real
def test_a_real_case_reads_as_nibabel_reads_it(shared_data):
    file = shared_data / "native" / "TCGA-FG-6692" / "FLAIR.nii.gz"
    volume, image = read_volume(Source(file)), nib.load(file)
    assert np.array_equal(volume.array, np.asarray(image.dataobj).T)
    assert np.allclose(volume.grid.affine_xyz, image.affine)
