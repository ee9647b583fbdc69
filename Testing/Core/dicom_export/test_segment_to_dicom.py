"""`segment --dicom-seg`, and the commands of the page on DICOM."""

import shlex
from pathlib import Path

import exported_results as made
import numpy as np
import pytest
from hard_places import CASE, pristine
from test_docs import DOCS, commands
from toy_models import toy_package

from voxmmsd.cli import main

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
FILES = {"P007-voxmmsd-seg.dcm", "P007-voxmmsd-volumes-sr.dcm"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(toy_package(tmp_path_factory.mktemp("model") / "toy").folder)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return made.study(tmp_path / "P007").parent


def segment(cases, model, *options):
    fixed = ["--model", model, "--engine", "onnx", "--threads", "1", "--force", "--out", "out"]
    return main(["segment", str(cases), *fixed, *options])


def names(folder=Path("out")):
    return {file.name for file in folder.iterdir()}


def test_segment_writes_the_dicom_of_its_own_labels(place, model):
    assert segment("P007", model, "--dicom-seg") == 0
    assert names() >= FILES
    segmentation = pydicom.dcmread("out/P007-voxmmsd-seg.dcm")
    places, values = made.in_world(Path("out/P007-voxmmsd.nii.gz"))
    assert segmentation.pixel_array.sum() == len(places)
    assert len(segmentation.SegmentSequence) == len(set(values))
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == f"{made.STUDY}.2"  # t1c
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"


def test_what_segment_wrote_is_what_export_writes_again(place, model):
    segment("P007", model, "--dicom-seg")
    before = Path("out/P007-voxmmsd-seg.dcm").read_bytes()
    assert main(["export-dicom", "out/P007-voxmmsd.nii.gz", "--source", "P007/t1c"]) == 0
    assert Path("out/P007-voxmmsd-seg.dcm").read_bytes() == before


def test_images_that_are_no_dicom_are_refused_before_the_work(place, model, tmp_path_factory, capsys):
    nifti = pristine(tmp_path_factory.mktemp("nifti")) / CASE
    assert segment(nifti, model, "--dicom-seg") == 2
    said = capsys.readouterr().err
    assert f"t1n is {CASE}-t1n.nii.gz, and a DICOM SEG refers to the DICOM series that was segmented" in said
    assert "export-dicom RESULT --source SERIES" in said
    assert not [name for name in names() if not name.startswith(".")]


def test_a_series_that_cannot_be_referred_to_is_refused_before_the_work(place, model, capsys):
    for file in Path("P007/t1c").iterdir():
        header = pydicom.dcmread(file)
        del header.FrameOfReferenceUID
        header.save_as(file)
    assert segment("P007", model, "--dicom-seg") == 2
    assert "no FrameOfReferenceUID" in capsys.readouterr().err
    assert not [name for name in names() if not name.startswith(".")]


def test_a_result_without_a_tumor_has_no_dicom_and_it_is_said(place, model, capsys):
    assert segment("P007", model, "--dicom-seg", "--min-component", "NCR=1000", "ED=1000", "ET=1000") == 0
    assert "needs a segment, and no tumor was found" in capsys.readouterr().err
    assert not names() & FILES
    assert "P007-voxmmsd.json" in names()


def test_labels_that_were_cut_off_before_their_record_are_written_anew(place, model):
    Path("out").mkdir()
    for name in FILES:
        Path("out", name).write_bytes(b"of a call that was killed")
    np.save("out/P007-voxmmsd.npy", 0)
    assert segment("P007", model, "--dicom-seg") == 0
    assert pydicom.dcmread("out/P007-voxmmsd-seg.dcm").SegmentSequence


def test_the_commands_of_the_page_work_as_written(place, model):
    told = list(commands(DOCS / "dicom.md"))
    assert [words[0] for words in told] == ["segment", "export-dicom"]
    for words in told:
        toy = ["--model", model, "--force", "--engine", "onnx"] if words[0] == "segment" else []
        assert main([*words, *toy]) == 0, shlex.join(words)
    assert len(list(place.rglob("*.dcm")) + list(place.rglob("P007-voxmmsd*"))) > 4
