"""DICOM as scanners and archives of today write it: many frames in one file, and compressed."""

import numpy as np
import pytest
from dicom_files import write_frames, write_series

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_image, read_volume
from voxmmsd.data.reading import read_case
from voxmmsd.errors import InputError, MissingDependencyError

sitk = pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")

ARRAY = np.arange(4 * 5 * 6).reshape(4, 5, 6)
# 2 x 1.5 x 4 mm; rows run from right to left, columns from front to back.
AFFINE = np.array([[-2, 0, 0, 10], [0, -1.5, 0, 20], [0, 0, 4, 5], [0, 0, 0, 1]])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3)], ids=["up", "down", "interleaved"])
def test_frames_are_put_in_order_of_position_whatever_their_order_in_the_file(tmp_path, order):
    write_frames(tmp_path / "p1" / "a.dcm", ARRAY, order=order)
    (case,) = find_cases(tmp_path).cases
    image = read_case(case).image
    assert case.modalities["t1n"] == Source(tmp_path / "p1", series_uid="1.2.3.9")
    assert np.array_equal(image.array[0], 1 + 2 * ARRAY), "scaled as the header says"
    assert np.allclose(image.grid.affine_xyz, AFFINE)


def test_slices_that_shift_sideways_evenly_are_read_where_they_lie(tmp_path):
    array = np.arange(12 * 5 * 6, dtype=np.int16).reshape(12, 5, 6)
    write_series(tmp_path / "T1", array, "1.2.3", "T1", spacing_mm=(1.5, 2.0, 5.5), sideways_mm=lambda index: 2 * index)
    volume = read_volume(Source(tmp_path / "T1"))
    assert np.array_equal(volume.array, array)
    for index in (0, 5, 11):  # LPS to RAS
        np.testing.assert_allclose(
            volume.grid.affine_xyz @ [0, 0, index, 1], [10 - 2 * index, -5.5 * index, 20, 1], atol=1e-6
        )
    assert volume.grid.voxel_volume_ml == pytest.approx(1.5 * 2.0 * 5.5 / 1000)


def test_slices_that_shift_sideways_unevenly_are_refused(tmp_path):
    array = np.ones((8, 5, 6), np.int16)
    write_series(tmp_path / "T1", array, "1.2.3", "T1", sideways_mm=lambda index: 4.0 * (index == 3))
    with pytest.raises(InputError, match=r"shifted sideways, by up to 4.00 mm off a straight line"):
        read_volume(Source(tmp_path / "T1"))


def test_a_multi_frame_file_may_be_given_by_itself(tmp_path):
    write_frames(tmp_path / "a", ARRAY, order=(2, 0, 3, 1))
    volume = read_volume(Source(tmp_path / "a"))
    assert np.array_equal(volume.array, 1 + 2 * ARRAY) and np.allclose(volume.grid.affine_xyz, AFFINE)


def test_a_plain_volume_is_preferred_to_one_with_several_volumes_of_the_same_modality(tmp_path):
    write_frames(tmp_path / "p1" / "1" / "a.dcm", ARRAY, "T2 map echoes", order=(0, 1, 2, 3) * 2, uid="1.2.1")
    write_frames(tmp_path / "p1" / "2" / "a.dcm", ARRAY, "T2", uid="1.2.2")
    (case,) = find_cases(tmp_path).cases
    assert case.modalities["t2w"].series_uid == "1.2.2"


def test_times_and_contrast_of_frames_tell_the_modality(tmp_path):
    groups = {
        "MRTimingAndRelatedParametersSequence": {"RepetitionTime": 9000.0},
        "MREchoSequence": {"EffectiveEchoTime": 120.0},
        "MRModifierSequence": {"InversionTimes": [2500.0]},
    }
    write_frames(tmp_path / "p1" / "a.dcm", ARRAY, "tra", **groups)
    (case,) = find_cases(tmp_path).cases
    assert list(case.modalities) == ["t2f"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"order": (0, 1, 2, 3, 0, 1, 2, 3)}, "several slices at one place: it holds more than one volume"),
        ({"order": (0, 1, 3)}, "missing or unevenly spaced"),
        ({"PlaneOrientationSequence": {}}, "is no DICOM image"),
        ({"PixelMeasuresSequence": {}}, "have no position in the patient"),
    ],
    ids=["two volumes", "a frame missing", "no plane", "no spacing"],
)
def test_frames_that_make_no_volume_are_one_clear_sentence(tmp_path, given, sentence):
    write_frames(tmp_path / "a.dcm", ARRAY, **given)
    with pytest.raises(InputError, match=sentence):
        read_image(Source(tmp_path / "a.dcm"))


@pytest.mark.parametrize(
    ("group", "values", "sentence"),
    [
        ("PixelValueTransformationSequence", {"RescaleSlope": 3, "RescaleIntercept": 0}, "scaled differently"),
        ("PlaneOrientationSequence", {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "lie in different planes"),
    ],
)
def test_a_frame_unlike_the_others_is_one_clear_sentence(tmp_path, group, values, sentence):
    write_frames(tmp_path / "a.dcm", ARRAY)
    header = pydicom.dcmread(tmp_path / "a.dcm")
    own = pydicom.Dataset()
    own.update(values)
    setattr(header.PerFrameFunctionalGroupsSequence[2], group, pydicom.Sequence([own]))
    header.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=sentence):
        read_image(Source(tmp_path / "a.dcm"))


def test_a_series_of_several_multi_frame_files_is_refused(tmp_path):
    write_frames(tmp_path / "a.dcm", ARRAY, order=(0, 1))
    write_frames(tmp_path / "b.dcm", ARRAY, order=(2, 3))
    with pytest.raises(InputError, match="spread over 2 multi-frame files"):
        read_image(Source(tmp_path, series_uid="1.2.3.9"))


def test_without_pydicom_multi_frame_files_are_told_not_lost(tmp_path, monkeypatch):
    write_frames(tmp_path / "p1" / "a.dcm", ARRAY)
    write_series(tmp_path / "p1" / "2", ARRAY.astype(np.int16), "1.2.3.2", "T2")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    found = find_cases(tmp_path)
    assert [list(case.modalities) for case in found.cases] == [["t2w"]]
    assert "multi-frame DICOM needs pydicom" in found.unplaced[0][1]
    with pytest.raises(MissingDependencyError, match=r"voxmmsd\[formats\]"):
        read_image(Source(tmp_path / "p1" / "a.dcm"))


def compressed(folder, array_zyx, method):
    """Axial slices, written by GDCM."""
    folder.mkdir()
    for index, slice_yx in enumerate(array_zyx):
        image = sitk.GetImageFromArray(slice_yx[None].astype(np.int16))
        image.SetOrigin((0, 0, index))
        tags = {"0008|0060": "MR", "0020|000e": "1.2.3.4", "0008|103e": "T1", "0020|0037": "1\\0\\0\\0\\1\\0"}
        for key, value in {**tags, "0020|0032": f"0\\0\\{index}", "0008|0018": f"1.2.3.4.{index}"}.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{index}.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(method)
        writer.Execute(image)


def renamed_syntax(folder, syntax):
    """Claim another transfer syntax in each file of a folder."""
    for file in folder.iterdir():
        image = pydicom.dcmread(file)
        image.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        image.save_as(file)


@pytest.mark.parametrize(
    ("method", "syntax"), [("JPEG", "1.2.840.10008.1.2.4.70"), ("JPEG2000", "1.2.840.10008.1.2.4.90")]
)
def test_slices_compressed_without_loss_are_read_exactly(tmp_path, method, syntax):
    array = np.random.default_rng(0).integers(0, 2000, (4, 16, 16))
    compressed(tmp_path / "T1", array, method)
    assert syntax.encode() in (tmp_path / "T1" / "0.dcm").read_bytes(), "the test would prove nothing"
    (case,) = find_cases(tmp_path).cases
    assert np.array_equal(read_case(case).image.array[0], array)


def test_a_compression_that_is_not_read_is_one_sentence_with_its_name(tmp_path):
    compressed(tmp_path / "T1", np.zeros((4, 16, 16)), "JPEG2000")
    renamed_syntax(tmp_path / "T1", "1.2.840.10008.1.2.4.100")
    with pytest.raises(InputError, match=r"is compressed by MPEG video \(transfer syntax .*100\), which is not read"):
        read_image(Source(tmp_path / "T1"))


def test_a_series_compressed_with_loss_is_read_and_noted(tmp_path):
    compressed(tmp_path / "T1", np.full((4, 16, 16), 7), "JPEG")
    for file in (tmp_path / "T1").iterdir():
        image = pydicom.dcmread(file)
        image.LossyImageCompression = "01"
        image.save_as(file)
    assert read_image(Source(tmp_path / "T1")).notes == ("was compressed with loss",)
