"""A case is checked while it is prepared, and files are read side by side: what comes of it is as it was one by one."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from patients import write_patient
from toy_models import toy_package

from voxmmsd.data.cases import find_cases
from voxmmsd.data.reading import read_case
from voxmmsd.errors import Canceled, InputError
from voxmmsd.inference import segment, stages
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.runs.control import ask
from voxmmsd.runs.states import Request


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def segmented(tmp_path, package, name="out", **options):
    config = SegmentConfig(case=str(tmp_path / "cases"), model=str(package.folder), out=str(tmp_path / name), **options)
    return segment.segment_cases(config)


def record_of(file):
    record = json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text())
    return {**record, "seconds": 0, "sha256": ""}


def test_side_by_side_the_result_is_that_of_one_thread_without_ahead(tmp_path, package):
    write_patient(tmp_path / "cases")
    found = [segmented(tmp_path, package, str(n), threads=n, engine="onnx").written[0] for n in (1, 2)]
    labels = [np.asarray(nib.load(file).dataobj) for file in found]
    np.testing.assert_array_equal(*labels)
    assert record_of(found[0]) == record_of(found[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_blocking_finding_is_the_case_s_failure_whatever_else_is_wrong(tmp_path, package, threads, monkeypatch):
    place = write_patient(tmp_path / "cases")
    file = next(place.glob("*-t2w.nii.gz"))
    file.write_bytes(next(place.glob("*-t2f.nii.gz")).read_bytes())

    def nothing_left(*given):
        raise InputError("nothing is left", "check the mask")

    monkeypatch.setattr(stages, "prepare", nothing_left)
    ((_, error),) = segmented(tmp_path, package, threads=threads).failures
    assert "are the same volume" in str(error)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fault_of_the_checks_and_an_error_of_the_preparation_are_the_case_s_failures(
    tmp_path, package, threads, monkeypatch
):
    write_patient(tmp_path / "cases")
    with monkeypatch.context() as patched:
        patched.setattr(stages, "check_images", lambda *given, **named: 1 / 0)
        ((_, error),) = segmented(tmp_path, package, "one", threads=threads).failures
        assert "ZeroDivisionError" in str(error)

    def nothing_left(*given):
        raise InputError("nothing is left", "check the mask")

    monkeypatch.setattr(stages, "prepare", nothing_left)
    ((_, error),) = segmented(tmp_path, package, "other", threads=threads).failures
    assert str(error) == "nothing is left; check the mask"


def test_a_wish_to_stop_while_a_case_is_checked_and_prepared_is_heard_before_the_network(
    tmp_path, package, monkeypatch
):
    write_patient(tmp_path / "cases")
    look = stages.look_first

    def asked(*given, **named):
        ask(tmp_path / "out" / ".run", Request.CANCEL)
        return look(*given, **named)

    monkeypatch.setattr(stages, "look_first", asked)
    monkeypatch.setattr(stages.FallbackPredictor, "predict", lambda *given, **named: pytest.fail("was computed"))
    with pytest.raises(Canceled):
        segmented(tmp_path, package, threads=2)


def test_an_engine_that_does_not_open_ends_the_run_and_not_the_case_alone(tmp_path, package, monkeypatch):
    write_patient(tmp_path / "cases")

    def broken(*given):
        raise InputError("no engine", "install one")

    monkeypatch.setattr("voxmmsd.inference.fallback.open_backend", broken)
    with pytest.raises(InputError, match="no engine"):
        segmented(tmp_path, package, threads=2)


def test_files_read_side_by_side_give_the_same_volumes_notes_and_errors(tmp_path):
    place = write_patient(tmp_path / "cases")
    for name, code in (("t1n", 0), ("t2f", 0)):
        file = next(place.glob(f"*-{name}.nii.gz"))
        image = nib.load(file)
        image.set_sform(None, 0)
        image.set_qform(None, code)
        nib.save(image, file)
    case = find_cases(tmp_path / "cases").cases[0]
    one, other = (read_case(case, "t1c", with_label=False, at_once=at_once) for at_once in (False, True))
    assert one.notes == other.notes and one.notes[0].startswith("t1n: ") and one.grids == other.grids
    np.testing.assert_array_equal(one.image.array, other.image.array)
    image = nib.load(case.modalities["t1c"].path)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), case.modalities["t1c"].path)
    case.modalities["t2w"].path.write_bytes(b"")
    for at_once in (False, True):
        with pytest.raises(InputError, match="every voxel of t1c is 0"):
            read_case(case, with_label=False, at_once=at_once)


def test_frames_of_one_file_are_read_once_side_by_side_too(tmp_path, monkeypatch):
    case = find_cases(write_patient(tmp_path / "cases").parent).cases[0]
    images = [np.asarray(nib.load(source.path).dataobj) for source in case.modalities.values()]
    file = tmp_path / "all.nii.gz"
    nib.save(nib.Nifti1Image(np.stack(images, axis=3), nib.load(case.modalities["t1c"].path).affine), file)
    sources = {name: replace(source, path=file, channel=n) for n, (name, source) in enumerate(case.modalities.items())}
    reads = []
    from voxmmsd.data import reading

    read = reading.read_image
    monkeypatch.setattr(reading, "read_image", lambda source: reads.append(source) or read(source))
    volumes = read_case(replace(case, modalities=sources), with_label=False, at_once=True)
    assert len(reads) == 1
    np.testing.assert_array_equal(volumes.image.array, read_case(case, with_label=False).image.array)
