import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from test_file_formats import keys
from toy_models import toy_package

from voxmmsd import concurrency
from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, source_sha256

CASE = "phantom-000-000"
RESULT = f"{CASE}-voxmmsd.nii.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A synthetic patient, a model of random weights, its result, and that with one slice painted over."""
    folder = tmp_path_factory.mktemp("refine")
    assert main(["phantom", str(folder / "cases"), "--count", "1", "--shape", "32"]) == 0
    toy_package(folder / "toy")
    segment = ["segment", str(folder / "cases"), "--model", str(folder / "toy"), "--engine", "onnx", "--threads", "1"]
    assert main([*segment, "--out", str(folder / "seen")]) == 0
    paint(folder / "seen" / RESULT, folder / "edited.nii.gz", 12)
    return folder


@pytest.fixture
def place(made, tmp_path):
    """A copy of its own for tests that break something."""
    for name in ("cases", "toy", "seen"):
        shutil.copytree(made / name, tmp_path / "made" / name)
    shutil.copy(made / "edited.nii.gz", tmp_path / "made")
    config = tmp_path / "made" / "seen" / ".run" / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace(str(made), str(tmp_path / "made")), encoding="utf-8")
    return tmp_path / "made"


def labels(file):
    return np.asarray(nib.load(file).dataobj)


def paint(source, target, z, value=3):
    """A square of 8 by 8 voxels in one axial slice."""
    image = nib.load(source)
    array = np.asarray(image.dataobj).copy()
    array[10:18, 10:18, z] = np.where(array[10:18, 10:18, z] == value, 0, value)
    nib.save(nib.Nifti1Image(array, image.affine, image.header), target)
    return target


def refine(folder, *options, out="out", result=None, edited="edited.nii.gz"):
    file = result or folder / "seen" / RESULT
    words = ["refine", str(file), "--edited", str(folder / edited), "--out", str(folder / out), "--threads", "1"]
    return main([*words, *map(str, options)])


def record(folder):
    return json.loads((folder / f"{CASE}-voxmmsd.json").read_text(encoding="utf-8"))


def test_a_result_with_its_edits_carried_is_named_and_recorded_as_one_of_segment(made, capsys):
    assert refine(made) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(made / "out" / RESULT)
    assert f"{CASE}: 64 voxels edited by hand in 1 reviewed plane" in said.err
    before, after, edited = (labels(made / name) for name in (f"seen/{RESULT}", f"out/{RESULT}", "edited.nii.gz"))
    origin = labels(made / "out" / f"{CASE}-voxmmsd_origin.nii.gz")
    assert (after[..., 12] == edited[..., 12]).all()
    assert ((origin == 1) == (edited != before)).all()
    assert ((origin == 2) == ((after != before) & (origin != 1))).all()
    found = record(made / "out")
    assert found["inputs"] == record(made / "seen")["inputs"]
    assert found["refined"]["planes"] == [[0, 12]]
    assert (found["refined"]["edited_voxels"], found["refined"]["round"]) == (64, 1)
    assert found["refined"]["carried_voxels"] == (origin == 2).sum()
    assert found["volumes_ml"]["ET"] == pytest.approx((after == 3).sum() / 1000)
    assert not find_cases(made / "out").cases
    assert set(found["refined"]) == keys("refined") - {"added", "removed"}


def test_two_calls_write_the_same_bytes(made):
    assert refine(made, out="first") == refine(made, out="second") == 0
    assert record(made / "first")["sha256"] == record(made / "second")["sha256"]


def test_with_one_thread_nothing_is_computed_side_by_side(made, monkeypatch):
    assert refine(made, "--threads", "2", out="two-threads") == 0

    def refused(*_):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(concurrency, "ThreadPoolExecutor", refused)
    assert refine(made, out="one-thread") == 0
    assert record(made / "one-thread")["sha256"] == record(made / "two-threads")["sha256"]


def test_rounds_build_on_each_other_without_being_told_where_images_and_model_are(place):
    assert refine(place, out="one") == 0
    paint(place / "one" / RESULT, place / "again.nii.gz", 20, value=1)
    assert refine(place, out="two", result=place / "one" / RESULT, edited="again.nii.gz") == 0
    found = record(place / "two")["refined"]
    assert (found["round"], found["planes"], found["edited_voxels"]) == (2, [[0, 12], [0, 20]], 64)
    after = labels(place / "two" / RESULT)
    assert (after[..., 12] == labels(place / "edited.nii.gz")[..., 12]).all()
    assert (after[..., 20] == labels(place / "again.nii.gz")[..., 20]).all()
    (place / "two" / f"{CASE}-voxmmsd_origin.nii.gz").unlink()
    paint(place / "two" / RESULT, place / "third.nii.gz", 22)
    assert refine(place, out="three", result=place / "two" / RESULT, edited="third.nii.gz") == 2


def test_a_locked_label_keeps_its_voxels_but_for_the_edits(made):
    assert refine(made, "--locked", "ET", out="locked") == 0
    before, after = labels(made / "seen" / RESULT), labels(made / "locked" / RESULT)
    away = np.arange(32) != 12
    assert ((before == 3) == (after == 3))[..., away].all()


def test_features_are_kept_for_the_next_round(place):
    assert refine(place, "--features", place / "f.npz", out="one") == 0
    assert (place / "f.npz").stat().st_size > 1000
    shutil.rmtree(place / "cases")  # they are not needed again
    assert refine(place, "--features", place / "f.npz", out="two") == 0
    assert record(place / "one")["sha256"] == record(place / "two")["sha256"]


def test_features_are_computed_again_where_the_images_are_read_in_another_way(place, capsys):
    def computed(*options, out):
        assert refine(place, "--features", place / "f.npz", *options, out=out) == 0
        events = (place / out / ".run" / "events.jsonl").read_text(encoding="utf-8")
        return '"stage": "features"' in events

    image = nib.load(place / "cases" / CASE / f"{CASE}-t1c.nii.gz")
    inside = np.asarray(image.dataobj) > 0
    for name, cut in (("whole.nii.gz", 0), ("half.nii.gz", 16)):
        inside[:cut] = False
        nib.save(nib.Nifti1Image(inside.astype(np.uint8), image.affine), place / name)
    assert computed(out="one") and not computed(out="two")
    assert computed("--brain-mask", place / "whole.nii.gz", out="three")
    assert not computed("--brain-mask", place / "whole.nii.gz", out="four")
    shutil.copy(place / "half.nii.gz", place / "whole.nii.gz")
    assert computed("--brain-mask", place / "whole.nii.gz", out="five")
    assert not np.array_equal(labels(place / "five" / RESULT), labels(place / "four" / RESULT))
    assert computed("--brain-mask", "t1c", out="six")
    assert refine(place, "--features", place / "f.npz", "--brain-mask", place / "no.nii.gz", out="seven") == 2
    assert "no.nii.gz: no such file" in capsys.readouterr().err


def test_a_result_is_read_as_it_was_made_whatever_was_segmented_into_its_folder_since(place, capsys):
    assert refine(place, out="before") == 0
    assert record(place / "seen")["reading"] == {"align": False, "from_scanner": False, "n4": False, "brain_mask": ""}
    assert main(["phantom", str(place / "others"), "--count", "1", "--shape", "32", "--seed", "7"]) == 0
    (other,) = (case.id for case in find_cases(place / "others").cases)
    image = nib.load(place / "others" / other / f"{other}-t1c.nii.gz")
    half = (np.asarray(image.dataobj) > 0) & (np.arange(32) >= 16)[:, None, None]
    nib.save(nib.Nifti1Image(half.astype(np.uint8), image.affine), place / "half.nii.gz")
    segment = ["segment", str(place / "others" / other), "--model", str(place / "toy"), "--engine", "onnx"]
    assert main([*segment, "--out", str(place / "seen"), "--n4", "--brain-mask", str(place / "half.nii.gz")]) == 0
    of_other = json.loads((place / "seen" / f"{other}-voxmmsd.json").read_text(encoding="utf-8"))
    assert of_other["reading"]["brain_mask"] == source_sha256(Source(place / "half.nii.gz"))
    assert refine(place, out="lost") == 2
    assert "the run beside it is of other images" in capsys.readouterr().err
    assert refine(place, "--case", place / "cases" / CASE, out="after") == 0
    assert record(place / "after")["sha256"] == record(place / "before")["sha256"]
    assert record(place / "after")["reading"] == record(place / "seen")["reading"]


def test_a_brain_mask_is_the_one_that_the_result_was_made_with(place, capsys):
    image = nib.load(place / "cases" / CASE / f"{CASE}-t1c.nii.gz")
    mask = place / "mask.nii.gz"
    nib.save(nib.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine), mask)
    beside = shutil.copy(mask, place / "cases" / CASE / f"{CASE}-brain_mask.nii.gz")
    assert refine(place, out="without") == 0  # it was put there later
    segment = ["segment", str(place / "cases"), "--model", str(place / "toy"), "--engine", "onnx", "--threads", "1"]
    assert main([*segment, "--out", str(place / "masked")]) == 0
    edited = paint(place / "masked" / RESULT, place / "on-masked.nii.gz", 12)
    assert refine(place, result=place / "masked" / RESULT, edited=edited.name, out="with") == 0
    (place / beside).unlink()
    assert refine(place, result=place / "masked" / RESULT, edited=edited.name, out="gone") == 2
    assert "name it with --brain-mask" in capsys.readouterr().err
    given = ["--brain-mask", mask]
    assert refine(place, *given, result=place / "masked" / RESULT, edited=edited.name, out="named") == 0
    assert record(place / "named")["sha256"] == record(place / "with")["sha256"]
    assert refine(place, "--brain-mask", "t1c", result=place / "masked" / RESULT, edited=edited.name, out="word") == 0
    assert record(place / "word")["reading"]["brain_mask"] == "t1c"
    again = paint(place / "word" / RESULT, place / "again.nii.gz", 20)
    assert refine(place, result=place / "word" / RESULT, edited=again.name, out="second") == 0  # by the same mask


def test_the_case_and_the_model_may_be_named_where_the_run_is_gone(place, capsys):
    shutil.rmtree(place / "seen" / ".run")
    assert refine(place) == 2
    assert "toy-1: is not a model package" in capsys.readouterr().err
    assert refine(place, "--model", place / "toy") == 2
    assert "name the case's folder with --case" in capsys.readouterr().err
    assert refine(place, "--model", place / "toy", "--case", place / "cases" / CASE) == 0


def test_a_label_that_the_model_does_not_know_is_refused(place, capsys):
    paint(place / "seen" / RESULT, place / "cavity.nii.gz", 12, value=7)
    assert refine(place, edited="cavity.nii.gz") == 2
    error = capsys.readouterr().err
    assert "cavity.nii.gz: holds the labels 7, which the model does not know (0, 1 NCR, 2 ED, 3 ET)" in error
    assert "if they are a resection cavity, --new-label RC=7" in error


def test_a_new_label_is_learned_from_the_edits_and_belongs_to_the_result_from_then_on(place, capsys):
    paint(place / "seen" / RESULT, place / "cavity.nii.gz", 12, value=7)
    assert refine(place, "--new-label", "RC=7", edited="cavity.nii.gz") == 0
    assert "1 is NCR, 2 is ED, 3 is ET, 4 is RC from now on, labels of brats-gli-2023+RC" in capsys.readouterr().err
    found, after = record(place / "out"), labels(place / "out" / RESULT)
    assert (found["schema"], found["labels"]["RC"]) == ("brats-gli-2023+RC", 4)
    assert (after[10:18, 10:18, 12] == 4).all() and 7 not in after
    assert found["volumes_ml"]["RC"] == pytest.approx((after == 4).sum() / 1000)
    assert found["refined"]["changed_ml"]["RC"]["added"] == found["volumes_ml"]["RC"]
    assert found["refined"]["changed_ml"]["RC"]["removed"] == 0
    paint(place / "out" / RESULT, place / "again.nii.gz", 20, value=4)
    assert refine(place, out="two", result=place / "out" / RESULT, edited="again.nii.gz") == 0
    second, edited = labels(place / "two" / RESULT), labels(place / "again.nii.gz")
    assert (second[..., 12] == after[..., 12]).all() and (second[..., 20] == edited[..., 20]).all()
    assert (edited[10:18, 10:18, 20] == 4).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cavity", "names no label; give its key and its value, such as RC=5"),
        ("ET=7", "the result has that label already"),
        ("RC=3", "the value 3 has a meaning already (0, 1 NCR, 2 ED, 3 ET)"),
        ("CC=7", "CC cannot be added to the labels of brats-gli-2023"),
    ],
)
def test_a_new_label_that_cannot_be_one_is_refused(place, text, message, capsys):
    assert refine(place, "--new-label", text) == 2
    assert message in capsys.readouterr().err


def test_labels_on_another_grid_are_refused_and_the_same_voxels_in_another_order_are_turned(place, capsys):
    image = nib.load(place / "edited.nii.gz")
    nib.save(image.slicer[:31], place / "cut.nii.gz")
    assert refine(place, edited="cut.nii.gz") == 2
    assert "is on a different grid than" in capsys.readouterr().err
    turned = image.as_reoriented(np.array([[0, -1], [2, 1], [1, 1]]))
    nib.save(turned, place / "turned.nii.gz")
    assert refine(place, out="turned", edited="turned.nii.gz") == refine(place, out="straight") == 0
    assert record(place / "turned")["sha256"] == record(place / "straight")["sha256"]


def test_labels_without_an_edit_are_refused(place, capsys):
    shutil.copy(place / "seen" / RESULT, place / "same.nii.gz")
    assert refine(place, edited="same.nii.gz") == 2
    assert "same.nii.gz: holds no edit" in capsys.readouterr().err


def test_readers_who_contradict_each_other_are_refused(place, capsys):
    other = paint(place / "seen" / RESULT, place / "other.nii.gz", 12, value=1)
    words = ["refine", str(place / "seen" / RESULT), "--edited", str(place / "edited.nii.gz"), str(other)]
    assert main([*words, "--out", str(place / "out")]) == 2
    assert "contradict each other in 64 voxels" in capsys.readouterr().err


def test_a_result_that_was_painted_over_is_refused(place, capsys):
    paint(place / "seen" / RESULT, place / "seen" / RESULT, 3)
    assert refine(place) == 2
    assert "has changed since it was written; keep the result as it was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"case": "../other"}, "is not a result's record"),
        ({"inputs": 3}, "is not a result's record"),
        ({"refined": {"planes": [[0, 99]]}}, "names planes outside the image"),
        ({"refined": {"planes": [[0, 9]]}}, "voxmmsd_origin.nii.gz: is missing or has changed"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(place, change, message, capsys):
    file = place / "seen" / f"{CASE}-voxmmsd.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    assert refine(place) == 2
    assert message in capsys.readouterr().err
    file.unlink()
    assert refine(place) == 2
    assert "is not a result's record" in capsys.readouterr().err


def test_images_that_have_changed_or_are_gone_are_refused(place, capsys):
    file = place / "cases" / CASE / f"{CASE}-t2f.nii.gz"
    image = nib.load(file)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + 1, image.affine), file)
    assert refine(place) == 2
    assert f"{file}: has changed since {RESULT} was made from it" in capsys.readouterr().err
    file.unlink()
    assert refine(place) == 2
    assert "its t2f is missing" in capsys.readouterr().err
    shutil.rmtree(place / "cases")
    assert refine(place) == 2
    assert "name them with --case" in capsys.readouterr().err


def test_another_model_is_refused(place, capsys):
    toy_package(place / "other", seed=1, id="other-1")
    assert refine(place, "--model", place / "other") == 2
    assert "other-1: has weights that differ from those of the model that made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--locked", "XY"], "its labels are NCR, ED, ET"),
        (["--reviewed", "axial:99"], "the image has axial planes 0 to 31"),
        (["--reviewed", "upwards"], "give strokes, or planes such as axial:60"),
    ],
)
def test_options_that_make_no_sense_are_refused(made, options, message, capsys):
    assert refine(made, *options, out="never") == 2
    assert message in capsys.readouterr().err
    assert not (made / "never").exists()


def test_nothing_is_overwritten(place, capsys):
    assert refine(place) == 0
    assert refine(place) == 2
    assert "exists already; nothing is overwritten" in capsys.readouterr().err


def test_what_must_be_given_is_named(capsys):
    assert main(["refine"]) == 2
    assert main(["refine", RESULT]) == 2
    assert main(["refine", RESULT, "--edited", "e.nii.gz"]) == 2
    assert capsys.readouterr().err.count("must be given") == 3


def test_it_runs_from_end_to_end_without_torch_and_without_onnx(place):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = sys.modules['monai'] = None; "
        "from voxmmsd.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["refine", place / "seen" / RESULT, "--edited", place / "edited.nii.gz", "--out", place / "out"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_labels_that_a_killed_call_left_without_a_record_are_no_result_and_are_made_again(place):
    assert refine(place) == 0
    out = place / "out"
    whole = labels(out / RESULT)
    (out / f"{CASE}-voxmmsd.json").unlink()
    (out / RESULT).write_bytes((place / "seen" / RESULT).read_bytes())
    assert refine(place) == 0
    assert (labels(out / RESULT) == whole).all()
    assert record(out)["refined"]["round"] == 1
