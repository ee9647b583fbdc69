import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from corrected_cases import label_of, moved, phantom
from patients import write_patient

from voxmmsd.cli import main
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError, LibraryError
from voxmmsd.files import sha256_of
from voxmmsd.labels import values_from_indices
from voxmmsd.library import create_library, open_library
from voxmmsd.library.adding import accept_prediction, add_folder
from voxmmsd.phantom import write_phantoms


@pytest.fixture
def library(tmp_path):
    return create_library(tmp_path / "library", seed=0)


@pytest.fixture
def cases(tmp_path):
    write_phantoms(tmp_path / "cases", 2, seed=0, side=24)
    return tmp_path / "cases"


def write_result(folder, case_id, label, model="m-1"):
    """As ``segment`` writes it."""
    file = folder / f"{case_id}-voxmmsd.nii.gz"
    write_nifti(file, values_from_indices(label.array, phantom(0).schema), label.grid)
    review = [{"effect_ml": {"WT": 0.5}}]
    record = {"schema": "brats-gli-2023", "model": {"id": model}, "review": review, "sha256": sha256_of(file)}
    file.with_name(f"{case_id}-voxmmsd.json").write_text(json.dumps(record))


def test_a_label_names_the_model_below_it_whose_prediction_the_library_has_not(cases, tmp_path, capsys):
    images = [
        text
        for name in ("t1c", "t2f")
        for text in (f"--{name}", str(next((cases / "phantom-000-000").glob(f"*-{name}.nii.gz"))))
    ]
    label = ["--label", str(next((cases / "phantom-000-000").glob("*-seg.nii.gz"))), "--schema", "brats-gli-2023"]
    place, case = str(tmp_path / "lib"), ["--case", "site1-007"]
    assert main(["library", "add", place, *case, *images, *label, "--drawn-over", "m-1"]) == 0
    accepted = open_library(tmp_path / "lib").case("site1-007").accepted
    assert (accepted.kind, accepted.drawn_over) == ("corrected", ("m-1",))
    assert main(["library", "accept", place, *case, *label, "--drawn-over", "m-2"]) == 0
    assert open_library(tmp_path / "lib").case("site1-007").accepted.drawn_over == ("m-2",)
    assert main(["library", "accept", place, *case, *label, "--drawn-over", "m-2", "--from-scratch"]) == 2
    assert "--from-scratch contradicts --drawn-over m-2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("add {lib} {cases} --case p-1", "--case: is for a case that is given image by image"),
        ("add {lib} {cases} --label x.nii", "--label: is for a case that is given image by image"),
        ("add {lib} {cases} --from-scratch", "--from-scratch: is for a case that is given image by image"),
        ("add {lib} --case p-1", "--case: is for a case that is given image by image"),
        ("add {lib} {cases} --case p-1 --t1c x.nii", "cases: is for a folder of cases, not for images"),
        ("add {lib} --case p-1 --t1c x.nii --prefix p", "--prefix: is for a folder of cases, not for images"),
        ("add {lib} --case p-1 --t1c x.nii --origins x.nii", "--origins: is of a label, and none is given"),
        ("add {lib} {cases} --hold-out 0.5", "--hold-out 0.5: {lib} is there already and holds out 0.2"),
        ("accept {lib} --case p-1 --origins x.nii", "--origins: is of a label, and none is given"),
        ("accept {lib} --case p-1 --from-scratch", "--from-scratch: is of a label, and none is given"),
        ("accept {lib} --case p-1 --drawn-over m-1", "--drawn-over: is of a label, and none is given"),
    ],
)
def test_an_option_of_another_form_is_refused_and_not_passed_over(library, cases, capsys, words, said):
    places = {"lib": library.folder, "cases": cases}
    assert main(["library", *(word.format(**places) for word in words.split())]) == 2
    assert said.format(**places) in capsys.readouterr().err
    assert library.cases() == ()


def test_the_share_that_a_library_holds_out_may_be_repeated(tmp_path, cases):
    for _call in range(2):
        assert main(["library", "add", str(tmp_path / "lib"), str(cases), "--hold-out", "0.5"]) == 0


def test_an_accepted_prediction_is_drawn_over_its_own_model_alone(library, cases):
    add_folder(library, cases)
    for number, model in enumerate(("m-1", "m-2")):
        library.add_prediction("phantom-000-000", moved(label_of(phantom(0)), number), "brats-gli-2023", model)
        assert accept_prediction(library, "phantom-000-000").drawn_over == (model,)


def test_two_calls_that_make_a_library_at_once_add_to_the_same_one(tmp_path):
    calls = []
    for seed in (0, 1):
        write_phantoms(tmp_path / f"cases-{seed}", 1, seed=seed, side=24)
        words = ["-m", "voxmmsd", "library", "add", str(tmp_path / "lib"), str(tmp_path / f"cases-{seed}")]
        calls.append(subprocess.Popen([sys.executable, *words]))
    assert [call.wait() for call in calls] == [0, 0]
    assert len(open_library(tmp_path / "lib").cases()) == 2


def test_a_folder_of_labeled_cases_becomes_a_library_of_experts_labels(library, cases):
    added = add_folder(library, cases)
    assert (len(added.lines), added.failures) == (4, [])
    for number, case in enumerate(library.cases()):
        assert (case.id, case.accepted.kind) == (f"phantom-000-{number:03d}", "expert")
        truth = label_of(phantom(number))
        np.testing.assert_array_equal(library.read_label(case, case.accepted).array, truth.array)


def test_a_case_is_added_image_by_image_with_what_was_said_of_it_and_its_correction(tmp_path, capsys):
    truth = label_of(phantom(0))
    place = write_phantoms(tmp_path / "cases", 1, seed=0, side=24)[0]
    write_result(tmp_path, "case", moved(truth))
    write_nifti(tmp_path / "label.nii", values_from_indices(truth.array, phantom(0).schema), truth.grid)
    images = [text for name in ("t1c", "t2f") for text in (f"--{name}", str(next(place.glob(f"*-{name}.nii.gz"))))]
    more = ["--result", str(tmp_path / "case-voxmmsd.json"), "--label", str(tmp_path / "label.nii")]
    place = str(tmp_path / "lib")
    assert main(["library", "add", place, "--case", "site1-007", *images, *more]) == 0
    case = open_library(tmp_path / "lib").case("site1-007")
    assert (case.modalities, case.prediction.model) == (("t1c", "t2f"), "m-1")
    assert (case.accepted.kind, case.accepted.drawn_over) == ("corrected", ("m-1",))
    assert main(["library", "add", place, "--case", "site1-007", *images, *more[:2]]) == 0
    assert len(open_library(tmp_path / "lib").case("site1-007").labels) == 2
    assert main(["library", "add", place, "--case", "Miller", *images]) == 2
    assert "must be a code" in capsys.readouterr().err


def test_a_folder_added_again_brings_only_what_is_new(library, cases):
    add_folder(library, cases)
    assert add_folder(library, cases).lines == []
    write_phantoms(cases, 1, seed=5, side=24)
    assert [line.split(":")[0] for line in add_folder(library, cases).lines] == ["phantom-005-000"] * 2
    assert [len(case.labels) for case in library.cases()] == [1, 1, 1]


def test_a_folder_added_again_replaces_no_newer_correction_or_prediction(library, cases, tmp_path):
    add_folder(library, cases)
    guess = moved(label_of(phantom(0)))
    write_result(tmp_path / "results", "phantom-000-000", guess)
    add_folder(library, tmp_path / "results")
    library.add_prediction("phantom-000-000", moved(guess), "brats-gli-2023", "m-1")
    corrected = library.accept("phantom-000-000", moved(guess, 2), "brats-gli-2023")
    assert add_folder(library, cases).lines == []
    assert add_folder(library, tmp_path / "results").lines == []
    case = library.case("phantom-000-000")
    assert (case.accepted, len(case.labels)) == (corrected, 4)


def test_a_label_in_another_order_of_axes_than_its_images_is_added_once(library, cases):
    file = next((cases / "phantom-000-000").glob("*-seg.nii.gz"))
    label = nib.load(file)
    turned = label.as_reoriented(nib.orientations.axcodes2ornt("ASR"))
    assert turned.affine.tolist() != label.affine.tolist()
    nib.save(turned, file)
    add_folder(library, cases)
    assert add_folder(library, cases).lines == []
    assert len(library.case("phantom-000-000").labels) == 1


def test_results_of_segment_become_predictions_with_their_doubts(library, cases, tmp_path):
    add_folder(library, cases)
    guess = moved(label_of(phantom(0)))
    write_result(tmp_path / "results", "phantom-000-000", guess)
    assert "prediction of m-1" in add_folder(library, tmp_path / "results").lines[0]
    assert add_folder(library, tmp_path / "results").lines == []
    prediction = library.case("phantom-000-000").prediction
    assert (prediction.model, prediction.review[0]["effect_ml"]) == ("m-1", {"WT": 0.5})
    version = accept_prediction(library, "phantom-000-000")
    assert (version.kind, version.drawn_over, version.changed_voxel_count) == ("corrected", ("m-1",), 0)
    with pytest.raises(LibraryError, match="no prediction to answer"):
        accept_prediction(library, "phantom-000-000")


def test_a_result_that_was_corrected_in_place_is_not_what_the_model_said(library, cases, tmp_path):
    next((cases / "phantom-000-000").glob("*-seg.nii.gz")).unlink()
    add_folder(library, cases)
    truth, results = label_of(phantom(0)), tmp_path / "results"
    write_result(results, "phantom-000-000", moved(truth))
    record = results / "phantom-000-000-voxmmsd.json"
    as_written = record.read_text(encoding="utf-8")
    write_result(results, "phantom-000-000", truth)
    record.write_text(as_written, encoding="utf-8")
    ((_, error),) = add_folder(library, results).failures
    assert "has changed since segment wrote it" in error.problem
    assert "--case phantom-000-000 --label phantom-000-000-voxmmsd.nii.gz" in error.remedy
    assert library.case("phantom-000-000").labels == ()


def write_refined(folder, case_id, label, origin, turn):
    """As ``refine`` writes it in its round ``turn``."""
    write_result(folder, case_id, label)
    write_nifti(folder / f"{case_id}-voxmmsd_origin.nii.gz", origin, label.grid)
    file = folder / f"{case_id}-voxmmsd.json"
    refined = {"round": turn, "origin_sha256": sha256_of(folder / f"{case_id}-voxmmsd_origin.nii.gz")}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"refined": refined}))


def test_results_of_refine_are_accepted_after_their_prediction_with_who_decided_each_voxel(library, tmp_path):
    place, truth = write_phantoms(tmp_path / "cases", 1, seed=0, side=24)[0], label_of(phantom(0))
    next(place.glob("*-seg.nii.gz")).unlink()
    add_folder(library, tmp_path / "cases")
    origin = np.zeros(truth.array.shape, np.uint8)
    origin[3:6], origin[6:8] = 1, 2
    guess = moved(truth)
    write_result(tmp_path / "results" / "z-seen", "phantom-000-000", guess)
    write_refined(
        tmp_path / "results" / "b", "phantom-000-000", Volume(np.where(origin, 0, guess.array), truth.grid), origin, 1
    )
    write_refined(tmp_path / "results" / "a", "phantom-000-000", truth, origin, 2)
    lines = add_folder(library, tmp_path / "results").lines
    assert [line.split(" (")[0] for line in lines[:1]] == ["phantom-000-000: prediction of m-1"]
    side = truth.array[0].size
    assert lines[-1] == (
        f"phantom-000-000: accepted 0003-corrected, refined from m-1: {3 * side:,} voxels edited by hand, "
        f"{2 * side:,} carried"
    )
    assert add_folder(library, tmp_path / "results").lines == []
    case = library.case("phantom-000-000")
    assert (case.accepted.kind, case.accepted.drawn_over) == ("corrected", ("m-1",))
    np.testing.assert_array_equal(library.read_label(case, case.accepted).array, truth.array)
    assert case.accepted.origins.voxels == {
        "predicted": origin.size - 5 * side,
        "edited": 3 * side,
        "carried": 2 * side,
    }


def test_a_result_of_refine_that_has_changed_or_would_replace_an_experts_label_is_not_added(library, cases, tmp_path):
    add_folder(library, cases)
    truth = label_of(phantom(0))
    origin = np.ones(truth.array.shape, np.uint8)
    write_refined(tmp_path / "results", "phantom-000-000", moved(truth), origin, 1)
    write_refined(tmp_path / "results", "phantom-000-001", moved(truth), origin, 1)
    (tmp_path / "results" / "phantom-000-001-voxmmsd_origin.nii.gz").unlink()
    failures = dict(add_folder(library, tmp_path / "results").failures)
    assert "has a label that an expert drew from scratch" in str(failures["phantom-000-000"])
    assert "_origin.nii.gz: is missing or has changed since refine wrote it" in str(failures["phantom-000-001"])
    assert [len(case.labels) for case in library.cases()] == [1, 1]


def test_a_case_that_cannot_be_added_does_not_stop_the_others(library, cases):
    next((cases / "phantom-000-000").glob("*-t1n.nii.gz")).write_bytes(b"")
    write_patient(cases, "Jane_Doe", shape_xyz=(24, 24, 24))
    added = add_folder(library, cases)
    assert {case_id for case_id, _ in added.failures} == {"phantom-000-000", "Jane_Doe"}
    assert [case.id for case in library.cases()] == ["phantom-000-001"]
    assert "must be a code" in str(dict(added.failures)["Jane_Doe"])


def test_names_are_replaced_by_codes_on_demand(library, tmp_path):
    for number, name in enumerate(("Jane_Doe", "John_Doe")):
        write_patient(tmp_path / "in", name, seed=number, shape_xyz=(24, 24, 24), label=False)
    assert add_folder(library, tmp_path / "in", prefix="site1").failures == []
    assert [(case.id, case.patient) for case in library.cases()] == [(f"site1-{n:03d}",) * 2 for n in (1, 2)]
    assert "Doe" not in "".join(file.read_text(encoding="utf-8") for file in library.folder.rglob("*.json"))


def test_visits_of_a_patient_stay_together_under_their_codes(library, tmp_path):
    for number, name in enumerate(("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100")):
        write_patient(tmp_path / "in", name, seed=number, shape_xyz=(24, 24, 24), label=False)
    for _call in range(2):
        assert add_folder(library, tmp_path / "in", prefix="site1").failures == []
    assert [case.patient for case in library.cases()] == ["site1-001", "site1-001", "site1-003"]
    assert library.case("site1-001").part == library.case("site1-002").part


def test_a_new_visit_that_comes_before_the_one_that_is_known_has_its_patient(library, tmp_path):
    for number, name in enumerate(("BraTS-GLI-00005-101", "BraTS-GLI-00005-100")):
        write_patient(tmp_path / "in", name, seed=number, shape_xyz=(24, 24, 24), label=False)
        assert add_folder(library, tmp_path / "in", prefix="site1").failures == []
    assert [(case.id, case.patient) for case in library.cases()] == [
        ("site1-001", "site1-001"),
        ("site1-002", "site1-001"),
    ]


def test_a_result_of_images_that_were_moved_is_not_added_to_those_that_were_not(library, cases):
    write_result(cases, "phantom-000-000", label_of(phantom(0)))
    file = cases / "phantom-000-000-voxmmsd.json"
    moved_by = {"modality": "t2f", "accepted": True, "correction": np.eye(4).tolist()}
    record = {**json.loads(file.read_text()), "reference": "t1c", "alignment": [moved_by]}
    file.write_text(json.dumps(record))
    ((case_id, error),) = add_folder(library, cases).failures
    assert case_id == "phantom-000-000"
    assert "t2f was moved onto t1c before it was segmented" in str(error)
    assert library.case(case_id).prediction is None
    file.write_text(json.dumps({**record, "alignment": [{**moved_by, "accepted": False}]}))
    assert add_folder(library, cases).failures == []
    assert library.case(case_id).prediction is not None


def test_codes_stay_with_their_images_and_results_follow_them_as_a_folder_grows(library, tmp_path):
    place = tmp_path / "in"
    for number, name in ((0, "Jane_Doe"), (1, "John_Doe")):
        write_patient(place, name, seed=number, shape_xyz=(24, 24, 24), label=False)
    assert add_folder(library, place, prefix="site1").failures == []
    before = {case.id: case.entry.image_hash for case in library.cases()}
    write_patient(place, "Anna_Doe", seed=2, shape_xyz=(24, 24, 24), label=False)
    t1c = next((place / "John_Doe").glob("*t1c*"))
    grid = read_volume(Source(t1c)).grid
    write_result(place / "John_Doe", "John_Doe", Volume(np.ones(grid.shape_zyx, np.uint8), grid))
    added = add_folder(library, place, prefix="site1")
    assert added.failures == []
    after = {case.id: case.entry.image_hash for case in library.cases()}
    assert sorted(after) == ["site1-001", "site1-002", "site1-003"] and before.items() <= after.items()
    assert [bool(case.labels) for case in library.cases()] == [False, True, False]


def test_a_broken_result_or_one_of_an_unknown_case_is_reported(library, cases, tmp_path):
    add_folder(library, cases)
    write_result(tmp_path / "results", "unknown-1", label_of(phantom(0)))
    write_result(tmp_path / "results", "phantom-000-001", label_of(phantom(1)))
    (tmp_path / "results" / "phantom-000-001-voxmmsd.json").write_text("{}")
    failures = dict(add_folder(library, tmp_path / "results").failures)
    assert "has no case 'unknown-1'" in str(failures["unknown-1"])
    assert "is not a result's record" in str(failures["phantom-000-001"])
    with pytest.raises(InputError, match="neither cases nor results"):
        (tmp_path / "empty").mkdir()
        add_folder(library, tmp_path / "empty")
