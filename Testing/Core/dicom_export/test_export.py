"""A result as DICOM SEG and SR: what others' tools read of it, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import exported_results as made
import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series

from voxmmsd.cli import main
from voxmmsd.data.formats.dicom import read_series
from voxmmsd.data.formats.sources import former_sha256
from voxmmsd.data.grid import Grid
from voxmmsd.dicom_export.export import export_dicom
from voxmmsd.dicom_export.result import read_result
from voxmmsd.errors import InputError, MissingDependencyError
from voxmmsd.labels import SCHEMAS, schema_named
from voxmmsd.records.findings import Finding, Severity
from voxmmsd.records.result import ModelUsed

FLAIR = "1.2.826.0.1.77.2"

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")


@pytest.fixture
def source(tmp_path):
    return made.series(tmp_path / "series")


@pytest.fixture
def result(tmp_path, source):
    return made.result(tmp_path / "results", source)


def tool(name: str, comes_with: str) -> str:
    """A program of this environment or of the system."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({comes_with})")
    return found


def read(exported):
    return tuple(pydicom.dcmread(file) for file in exported.files)


def masks(dataset):
    """Places of the voxels of each segment (LPS mm), by hand: from positions, orientation and spacing of the frames."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    across, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    places = {}
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        # Of a single segment, all frames tell it at once.
        group = frame if "SegmentIdentificationSequence" in frame else shared
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rows, columns = np.nonzero(pixels)
        first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        found = first + columns[:, None] * across * between_columns + rows[:, None] * down * between_rows
        places.setdefault(number, []).append(found)
    return {number: np.concatenate(parts) for number, parts in places.items()}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_pydicom_reads_the_identical_labels_at_the_places_of_the_result(schema, tmp_path, source):
    file = made.result(tmp_path / "results", source, schema=schema)
    segmentation, _ = read(export_dicom(file, source))
    places, values = made.in_world(file)
    found = masks(segmentation)
    assert len(found) == len(schema_named(schema).labels)
    for number, label in enumerate(schema_named(schema).labels, start=1):
        told = segmentation.SegmentSequence[number - 1]
        term = told.SegmentedPropertyTypeCodeSequence[0]
        assert (term.CodingSchemeDesignator, term.CodeValue) == (label.terminology.scheme, label.terminology.code)
        assert told.SegmentLabel == label.name
        ras = np.round(found[number] * (-1, -1, 1), 2) + 0.0
        assert np.array_equal(ras[np.lexsort(ras.T)], places[values == label.value])


def test_patient_study_and_frame_of_reference_are_those_of_the_series(source, result):
    header = pydicom.dcmread(min(source.iterdir()))
    for one in read(export_dicom(result, source)):
        for name in ("PatientName", "PatientID", "PatientSex", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
            assert one.get(name) == header.get(name), name
        assert one.SeriesInstanceUID != made.UID
        assert "research use only" in one.SeriesDescription
    segmentation = read(export_dicom(result, source))[0]
    assert segmentation.FrameOfReferenceUID == made.FRAME
    referenced = segmentation.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == made.UID
    assert len(referenced.ReferencedInstanceSequence) == made.SHAPE[0]


def test_each_frame_names_the_slice_of_the_series_that_it_lies_on(source, result):
    places = {one.SOPInstanceUID: one.ImagePositionPatient for one in map(pydicom.dcmread, source.iterdir())}
    frames = read(export_dicom(result, source))[0].PerFrameFunctionalGroupsSequence
    assert frames
    for frame in frames:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert np.allclose(places[uid], frame.PlanePositionSequence[0].ImagePositionPatient)


def test_the_model_is_named_and_edited_labels_are_not_called_automatic(tmp_path, source, result):
    segment = read(export_dicom(result, source))[0].SegmentSequence[0]
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("starter-1", "1.2")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    edited = made.result(tmp_path / "edited", source, sha256="0" * 64)
    assert read(export_dicom(edited, source))[0].SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_labels_that_were_written_by_force_are_called_doubtful(tmp_path, source, result):
    assert "doubtful" not in read(export_dicom(result, source))[0].ContentDescription
    finding = Finding(Severity.BLOCKING, "implausible", "the tumor fills the brain", "look at it")
    model = ModelUsed("a model with a very long name " * 3, "1", "ab" * 32)
    forced = export_dicom(made.result(tmp_path / "forced", source, findings=(finding,), model=model), source)
    assert "the tumor fills the brain" in forced.remarks[0]
    described = read(forced)[0].ContentDescription
    assert described.endswith(", doubtful, research use only")
    assert len(described) <= 64


def volumes(report):
    """mm3 by the number of the segment, from the tree of a TID 1500."""
    found = {}

    def walk(item, group=None):
        for child in item.get("ContentSequence", ()):
            name = child.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in child else ""
            inner = {} if name == "125007" else group  # Measurement Group
            if name == "121191":  # Referenced Segment
                group["number"] = child.ReferencedSOPSequence[0].ReferencedSegmentNumber
            if name == "118565006":  # Volume
                value = child.MeasuredValueSequence[0]
                assert value.MeasurementUnitsCodeSequence[0].CodeValue == "mm3"
                group["mm3"] = float(value.NumericValue)
            walk(child, inner)
            if name == "125007":
                found[inner["number"]] = inner["mm3"]

    walk(report)
    return found


def test_the_report_has_the_volume_of_each_segment_in_mm3_and_refers_to_it(source, result):
    segmentation, report = read(export_dicom(result, source))
    counts = {number: len(places) for number, places in masks(segmentation).items()}
    assert volumes(report) == {number: pytest.approx(count * 1.5 * 2.0 * 3.0) for number, count in counts.items()}
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {one.ReferencedSOPInstanceUID for series in evidence for one in series.ReferencedSOPSequence}
    assert segmentation.SOPInstanceUID in named


def test_labels_that_are_not_there_are_no_segments(tmp_path, source):
    array = made.labels()
    array[array == 2] = 0
    segmentation, report = read(export_dicom(made.result(tmp_path / "results", source, array), source))
    assert [one.SegmentLabel for one in segmentation.SegmentSequence] == ["Necrotic core", "Enhancing tumor"]
    assert sorted(volumes(report)) == [1, 2]
    counts = {number: len(places) for number, places in masks(segmentation).items()}
    assert counts == {1: (array == 1).sum(), 2: (array == 4).sum()}


def test_exporting_again_is_the_same_instance_byte_by_byte_and_another_result_is_another(tmp_path, source, result):
    first = export_dicom(result, source)
    again = export_dicom(result, source, tmp_path / "again")
    assert [a.read_bytes() for a in first.files] == [b.read_bytes() for b in again.files]
    assert export_dicom(result, source).files == first.files
    array = made.labels()
    array[3, 3, 4] = 0
    other = read(export_dicom(made.result(tmp_path / "other", source, array), source))
    assert not {one.SOPInstanceUID for one in other} & {one.SOPInstanceUID for one in read(first)}


@pytest.fixture
def in_tokyo(monkeypatch):
    """A function after which local time is that of Tokyo."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system's time zone cannot be set for one process")
    yield lambda: (monkeypatch.setenv("TZ", "Asia/Tokyo"), time.tzset())
    monkeypatch.undo()
    time.tzset()


def test_a_copied_result_is_the_same_instance_and_so_it_is_in_another_time_zone(tmp_path, source, in_tokyo):
    file = made.result(tmp_path / "results", source, made="2026-03-01T23:30:05+00:00")
    first = export_dicom(file, source)
    copy = tmp_path / "copy"
    copy.mkdir()
    for one in (file, file.with_name("case-voxmmsd.json")):
        shutil.copyfile(one, copy / one.name)
        os.utime(copy / one.name, (0, 0))
    in_tokyo()
    again = export_dicom(copy / file.name, source)
    assert [a.read_bytes() for a in first.files] == [b.read_bytes() for b in again.files]
    assert read(first)[0].ContentDate + read(first)[0].InstanceCreationTime == "20260301233005"


@pytest.mark.parametrize("record", [{}, {"sha256": "0" * 64, "made": "2026-03-01T23:30:05+00:00"}])
def test_a_result_that_was_edited_or_is_of_an_earlier_version_has_the_time_of_its_file_in_utc(
    record, tmp_path, source, in_tokyo
):
    file = made.result(tmp_path / "results", source, **record)
    in_tokyo()
    os.utime(file, (86400, 86400))
    assert read_result(file).made == datetime(1970, 1, 2)


def test_labels_of_the_same_voxels_in_another_order_of_axes_are_exported_exactly(tmp_path, source, result):
    image = nib.load(result)
    turned = nib.as_closest_canonical(image)
    assert not np.allclose(turned.affine, image.affine)
    grid = Grid(turned.shape[::-1], turned.affine)
    other = made.result(tmp_path / "turned", source, np.asarray(turned.dataobj).T, grid)
    exported, straight = export_dicom(other, source), export_dicom(result, source)
    assert exported.remarks == ()
    assert read(exported)[0].PixelData == read(straight)[0].PixelData


@pytest.fixture
def finer(tmp_path, source):
    array, grid = made.finer(made.labels(), read_series(source, None).grid, 1.0)
    return made.result(tmp_path / "finer", source, array, grid)


def test_finer_labels_of_an_image_of_the_case_are_resampled_and_it_is_said(finer, source):
    exported = export_dicom(finer, source)
    assert "resampled" in exported.remarks[0]
    segmentation = read(exported)[0]
    image = nib.load(finer)
    for number, places in masks(segmentation).items():
        inside = np.linalg.inv(image.affine) @ np.c_[places * (-1, -1, 1), np.ones(len(places))].T
        # A center that lies between two voxels of 1 mm may take either.
        near = [
            np.asarray(image.dataobj)[tuple(np.floor(inside[:3] + 0.5 + shift).astype(int))] for shift in (-1e-3, 1e-3)
        ]
        value = schema_named("brats-2021").values[number - 1]
        assert ((near[0] == value) | (near[1] == value)).all()


def test_labels_on_another_grid_of_an_unknown_image_need_to_be_said_to_lie_there(tmp_path, finer, source):
    record = finer.with_name("case-voxmmsd.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "inputs": {"t1c": "00"}}))
    with pytest.raises(InputError, match=r"another grid.*--other-grid"):
        export_dicom(finer, source)
    assert export_dicom(finer, source, other_grid=True).remarks


@pytest.mark.parametrize("backwards", [False, True])
def test_a_series_of_several_frames_in_one_file_is_referred_to_by_frame(backwards, tmp_path, source):
    from highdicom.legacy import LegacyConvertedEnhancedMRImage

    slices = sorted(map(pydicom.dcmread, source.iterdir()), key=lambda one: one.ImagePositionPatient[1])
    slices = slices[::-1] if backwards else slices
    for number, one in enumerate(slices, start=1):
        one.SliceThickness, one.InstanceNumber, one.StudyID, one.ImageType = 3, number, "", ["ORIGINAL", "PRIMARY"]
        one.PatientBirthDate, one.StudyTime = "", ""
    enhanced = LegacyConvertedEnhancedMRImage(slices, "1.2.3.4", 8, "1.2.3.4.5", 1)
    (tmp_path / "enhanced").mkdir()
    enhanced.save_as(tmp_path / "enhanced" / "all.dcm", enforce_file_format=True)
    file = made.result(tmp_path / "results", tmp_path / "enhanced")
    segmentation = read(export_dicom(file, tmp_path / "enhanced" / "all.dcm"))[0]
    places, values = made.in_world(file)
    assert sum(map(len, masks(segmentation).values())) == len(places)
    ras = np.round(masks(segmentation)[1] * (-1, -1, 1), 2) + 0.0
    assert np.array_equal(ras[np.lexsort(ras.T)], places[values == 1])
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        number = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        there = enhanced.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(there, frame.PlanePositionSequence[0].ImagePositionPatient)


# What others' programs say of it


@pytest.mark.parametrize("schema", ["brats-2021", "brats-gli-2024"])
def test_dciodvfy_finds_no_error(schema, tmp_path, source):
    checker = tool("dciodvfy", "Debian's dicom3tools")
    exported = export_dicom(made.result(tmp_path / "results", source, schema=schema), source)
    for file, kind in zip(exported.files, ("Segmentation", "EnhancedSR"), strict=True):
        said = subprocess.run([checker, file], capture_output=True, encoding="utf-8", errors="replace")
        lines = (said.stdout + said.stderr).splitlines()
        assert kind in lines
        assert [line for line in lines if line.startswith("Error")] == []
        # The series has no Study ID, and none is made up. Two codes are our own, and are said to be.
        known = (kind, "- Study ID", "defined term <99VOXMMSD>")
        assert [line for line in lines if not line.endswith(known[:2]) and known[2] not in line] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_segimage2itkimage_gives_back_the_identical_labels(schema, tmp_path, source):
    result = made.result(tmp_path / "results", source, schema=schema)
    converter = tool("segimage2itkimage", "dcmqi of PyPI")
    segmentation = export_dicom(result, source).files[0]
    (tmp_path / "back").mkdir()
    call = [converter, "--inputDICOM", segmentation, "--outputDirectory", tmp_path / "back", "--mergeSegments"]
    subprocess.run([*call, "-t", "nii"], check=True, capture_output=True)
    places, numbers = made.in_world(tmp_path / "back" / "1.nii.gz")
    expected, values = made.in_world(result)
    assert np.array_equal(places, expected)
    assert np.array_equal(np.array([0, *schema_named(schema).values])[numbers], values)


def test_tid1500reader_gives_back_the_volumes(tmp_path, source, result):
    reader = tool("tid1500reader", "dcmqi of PyPI")
    segmentation, report = export_dicom(result, source).files
    subprocess.run(
        [reader, "--inputDICOM", report, "--outputMetadata", tmp_path / "sr.json"], check=True, capture_output=True
    )
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    told = {one["ReferencedSegment"]: float(one["measurementItems"][0]["value"]) for one in groups}
    assert told == volumes(pydicom.dcmread(report))
    assert {one["segmentationSOPInstanceUID"] for one in groups} == {pydicom.dcmread(segmentation).SOPInstanceUID}


# What is refused: nothing is written


def refused(result, source, says, error=InputError, **how):
    before = {file: file.read_bytes() for file in result.parent.iterdir()}
    with pytest.raises(error, match=says) as caught:
        export_dicom(result, source, **how)
    assert {file: file.read_bytes() for file in result.parent.iterdir()} == before
    assert caught.value.remedy


def test_labels_without_a_tumor_are_refused(tmp_path, source):
    empty = made.result(tmp_path / "results", source, np.zeros(made.SHAPE))
    refused(empty, source, "is empty, and a DICOM SEG needs a segment")


def test_a_series_elsewhere_is_refused(tmp_path, source, result):
    grid = read_series(source, None).grid
    affine = grid.affine_xyz.copy()
    affine[:3, 3] += 500
    away = made.result(tmp_path / "away", source, made.labels(), Grid(made.SHAPE, affine))
    refused(away, source, "no place in common")
    affine[:3, 3] += (-500 + 12, -500, -500)
    beside = made.result(tmp_path / "beside", source, made.labels(), Grid(made.SHAPE, affine))
    refused(beside, source, "% of the labeled voxels.*outside the series")


def test_a_series_of_another_patient_is_refused(tmp_path, result):
    other = tmp_path / "other"
    image = np.ones((9, 10, 16), np.uint16)
    write_series(other, image, "1.2.826.0.1.5", "T1", spacing_mm=(1.5, 2, 4), **{"0020_0052": "1.2.826.0.1.5.1"})
    refused(result, other, "none of the images that were segmented")


def test_a_modality_that_was_moved_onto_the_reference_is_no_place_for_its_labels(tmp_path, source):
    moved = made.series(tmp_path / "flair", uid="1.2.826.0.1.77.2", description="FLAIR")
    digest = made.source_sha256(made.Source(moved))
    shift = {"modality": "t2f", "accepted": True, "shift_mm": 6.25}
    file = made.result(tmp_path / "results", source, inputs={"t1c": "11", "t2f": digest}, alignment=(shift,))
    refused(file, moved, "moved by 6.2 mm onto the t1c")


@pytest.fixture
def with_flair(tmp_path, source):
    """A folder of two series: ``source`` and a FLAIR."""
    folder = tmp_path / "flat"
    shutil.copytree(source, folder)
    for file in made.series(tmp_path / "flair", uid=FLAIR, description="FLAIR").iterdir():
        file.rename(folder / f"flair-{file.name}")
    return folder


MOVED = {"modality": "t2f", "accepted": True, "shift_mm": 6.25}


def test_a_series_that_was_moved_is_known_among_others_in_its_folder(tmp_path, source, with_flair):
    uids = {"t1c": made.UID, "t2f": FLAIR}
    inputs = {name: made.source_sha256(made.Source(with_flair, series_uid=uid)) for name, uid in uids.items()}
    file = made.result(tmp_path / "results", source, inputs=inputs, alignment=(MOVED,))
    refused(file, with_flair, "moved by 6.2 mm onto the t1c", series=FLAIR)
    assert export_dicom(file, with_flair, series=made.UID)


def test_a_result_of_an_earlier_version_that_does_not_tell_which_series_was_moved_is_refused(
    tmp_path, source, with_flair
):
    whole = former_sha256(made.Source(with_flair))
    inputs = {"t1c": whole, "t2f": whole}
    file = made.result(tmp_path / "moved", source, inputs=inputs, alignment=(MOVED,))
    refused(file, with_flair, "did not record which series", series=FLAIR)
    file = made.result(tmp_path / "unmoved", source, inputs=inputs)
    assert export_dicom(file, with_flair, series=made.UID)


def test_several_series_in_a_folder_are_chosen_from_by_uid(source, result):
    for file in source.iterdir():
        other = pydicom.dcmread(file)
        other.SeriesInstanceUID, other.SOPInstanceUID = "1.2.3.9", other.SOPInstanceUID + ".9"
        other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        other.save_as(source / f"other-{file.name}.dcm")
    refused(result, source, "holds 2 DICOM series.*--series UID: .*1.2.3.9 \\(T1 POST, 9 slices\\)")
    refused(result, source, "holds no DICOM series 1.9; choose one of", series="1.9")
    chosen = read(export_dicom(result, source, series="1.2.3.9"))[0]
    assert chosen.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.9"


def test_a_folder_that_is_no_series_is_refused(tmp_path, source, result):
    refused(result, tmp_path / "nowhere", "no such file or folder")
    refused(result, result.parent, "holds no DICOM series")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.dcm").write_bytes(b"\0" * 128 + b"DICM but no more")
    refused(result, tmp_path / "broken", "holds no DICOM series.*a.dcm")
    sorted(source.iterdir())[4].unlink()
    refused(result, source, "slices are missing or unevenly spaced")


@pytest.mark.parametrize("name", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_without_its_identifiers_is_refused(name, source, result):
    for file in source.iterdir():
        header = pydicom.dcmread(file)
        delattr(header, name)
        header.save_as(file)
    refused(result, source, f"no {name}")


@pytest.mark.parametrize(("name", "value"), [("PatientID", "other"), ("FrameOfReferenceUID", "1.2.3")])
def test_a_series_of_two_is_refused(name, value, source, result):
    file = min(source.iterdir())
    header = pydicom.dcmread(file)
    setattr(header, name, value)
    header.save_as(file)
    refused(result, source, f"differ in {name}")


def test_tilted_slices_are_refused(source, result):
    for file in source.iterdir():
        header = pydicom.dcmread(file)
        x, y, z = header.ImagePositionPatient
        header.ImagePositionPatient = [x, y, z + 0.2 * y]
        header.save_as(file)
    refused(result, source, "no upright stack")


def test_a_header_that_breaks_the_standard_is_told_not_a_fault(source, result):
    for file in source.iterdir():
        header = pydicom.dcmread(file)
        header.PatientSex = "W"
        header.save_as(file)
    refused(result, source, "header cannot be taken over")


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞"),
        ("ISO_IR 100", "Müller^Jürgen"),
        (None, "Doe^Jane"),
    ],
)
def test_a_name_in_any_character_set_is_taken_over(character_set, name, source, result):
    for file in source.iterdir():
        header = pydicom.dcmread(file)
        header.SpecificCharacterSet = character_set
        header.PatientName = name
        header.save_as(file)
    for dataset in read(export_dicom(result, source)):
        assert str(dataset.PatientName) == name


def test_codes_that_were_emptied_are_not_taken_over(source, result):
    for file in source.iterdir():
        header = pydicom.dcmread(file)
        header.ProcedureCodeSequence = [pydicom.Dataset()]
        header.save_as(file)
    assert not any("ProcedureCodeSequence" in one for one in read(export_dicom(result, source)))


def test_another_file_at_the_place_is_kept(source, result):
    (result.parent / "case-voxmmsd-volumes-sr.dcm").write_bytes(b"mine")
    refused(result, source, "exists already")


def test_what_is_no_result_is_refused(tmp_path, source, result):
    refused(result.with_name("case-seg.nii.gz"), source, "is not a result")
    result.with_name("case-voxmmsd.json").unlink()
    refused(result, source, "is missing or is not a result's record")


def test_without_highdicom_it_is_said_how_to_get_it(source, result, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    refused(result, source, r"pip install 'voxmmsd\[dicom\]'", MissingDependencyError)


def test_the_verb_prints_the_files_and_asks_for_the_series(source, result, capsys):
    assert main(["export-dicom", str(result), "--source", str(source)]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        "case-voxmmsd-seg.dcm",
        "case-voxmmsd-volumes-sr.dcm",
    ]
    assert main(["export-dicom", str(result)]) == 2
    assert "--source SERIES must be given" in capsys.readouterr().err
