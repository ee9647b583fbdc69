import json
import subprocess
import sys
from contextlib import suppress
from threading import Barrier, Thread

import nibabel as nib
import numpy as np
import pytest
from corrected_cases import SCHEMA, images_of, label_of, library_of, moved, phantom

from voxmmsd.data.cases import read_case
from voxmmsd.data.volume import Grid, Volume, canonical
from voxmmsd.errors import ConfigError, InputError, LibraryError
from voxmmsd.library import create_library, open_library
from voxmmsd.library.records import Change
from voxmmsd.library.verification import unfinished_labels, verify_library


@pytest.fixture
def filled(tmp_path):
    return library_of(tmp_path / "library")


def test_a_case_keeps_its_images_and_the_core_reads_it_like_any_other(filled):
    library, made = filled
    case = library.case("case-001")
    assert (case.state, case.modalities, case.patient) == ("unlabeled", ("t1n", "t1c", "t2w", "t2f"), "case-001")
    read = read_case(library.as_case(case))
    np.testing.assert_array_equal(read.image.array, made["case-001"].image_czyx)
    assert read.image.grid.same_as(made["case-001"].grid)


def test_of_cases_that_are_known_only_what_came_since_is_read(filled):
    library, made = filled
    known = library.cases()
    record = known[1].folder / "case.json"
    text = record.read_text(encoding="utf-8")
    record.write_text("{", encoding="utf-8")
    library.accept("case-000", label_of(made["case-000"]), SCHEMA)
    cases = library.cases(known)
    assert [len(case.labels) for case in cases[:2]] == [1, 0]
    assert cases[1] is known[1]
    with pytest.raises(LibraryError):
        library.cases()
    record.write_text(text, encoding="utf-8")
    assert library.cases() == cases


def test_a_table_of_the_cases_needs_neither_scipy_nor_nibabel(filled):
    code = (
        "import sys; from pathlib import Path; from voxmmsd.library import LibraryRecords, next_to_label; "
        "from voxmmsd.corrections.usage import learned_in; library = LibraryRecords(Path(sys.argv[1])); "
        "next_to_label(library.cases()); learned_in(library, (), ()); "
        "print([name for name in ('scipy', 'nibabel', 'pydicom', 'onnxruntime') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(filled[0].folder)]
    assert subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip() == "[]"


def test_labels_are_numbered_appended_and_never_replaced(filled):
    library, made = filled
    truth = label_of(made["case-000"])
    library.add_prediction("case-000", moved(truth), SCHEMA, "model-1")
    before = {file: file.read_bytes() for file in library.folder.rglob("0001-*")}
    first = library.accept("case-000", moved(truth, 2), SCHEMA)
    second = library.accept("case-000", truth, SCHEMA)
    case = library.case("case-000")
    assert [label.stem for label in case.labels] == ["0001-predicted", "0002-corrected", "0003-corrected"]
    assert case.accepted == second != first
    assert case.state == "accepted"
    assert {file: file.read_bytes() for file in before} == before
    np.testing.assert_array_equal(library.read_label(case, second).array, truth.array)


def test_the_ledger_says_which_model_predicted_and_which_voxels_changed_per_label(filled):
    library, made = filled
    truth = label_of(made["case-000"])
    guess = truth.array.copy()
    taken, given = np.argwhere(guess == 3)[0], np.argwhere(guess == 0)[0]
    guess[tuple(taken)], guess[tuple(given)] = 2, 1
    library.add_prediction("case-000", Volume(guess, truth.grid), SCHEMA, "model-1")
    version = library.accept("case-000", truth, SCHEMA)
    assert version.changed_voxels == {"NCR": Change(0, 1), "ED": Change(0, 1), "ET": Change(1, 0)}
    assert (version.compared_to, version.drawn_over, version.kind) == (1, ("model-1",), "corrected")
    assert version.changed_voxel_count == 3
    assert version.volumes_ml["ET"] == pytest.approx((truth.array == 3).sum() / 1000, abs=1e-3)
    again = open_library(library.folder).case("case-000").accepted
    assert again == version


def test_a_label_that_was_drawn_over_no_models_output_is_an_experts(filled):
    library, made = filled
    truth = label_of(made["case-000"])
    assert library.accept("case-000", truth, SCHEMA).kind == "expert"
    library.add_prediction("case-001", moved(label_of(made["case-001"])), SCHEMA, "model-1")
    version = library.accept("case-001", label_of(made["case-001"]), SCHEMA, drawn_over=())
    assert (version.kind, version.drawn_over, version.compared_to) == ("expert", (), 1)


def test_a_second_correction_remembers_all_models_below_it(filled):
    library, made = filled
    truth = label_of(made["case-000"])
    for model in ("model-1", "model-2"):
        library.add_prediction("case-000", moved(truth), SCHEMA, model)
        library.accept("case-000", truth, SCHEMA)
    assert library.case("case-000").accepted.drawn_over == ("model-1", "model-2")


def test_whichever_prediction_since_the_last_label_was_corrected_its_model_is_among_those_below(filled):
    library, made = filled
    truth = label_of(made["case-000"])
    for model in ("model-1", "model-2"):
        library.add_prediction("case-000", moved(truth), SCHEMA, model)
    assert library.accept("case-000", truth, SCHEMA, drawn_over=("model-2",)).drawn_over == ("model-2",)
    library.add_prediction("case-000", moved(truth, 2), SCHEMA, "model-3")
    library.add_prediction("case-000", moved(truth, 3), SCHEMA, "model-4")
    assert library.accept("case-000", truth, SCHEMA).drawn_over == ("model-2", "model-3", "model-4")


def test_a_corrected_file_is_accepted_in_its_schemas_values_and_any_order_of_axes(filled, tmp_path):
    library, made = filled
    one = made["case-000"]
    turned = canonical(Volume(one.label_zyx, one.grid))
    nib.save(nib.Nifti1Image(turned.array.T, turned.grid.affine_xyz), tmp_path / "fixed.nii.gz")
    with pytest.raises(LibraryError, match="label schema cannot be determined"):
        library.accept_file("case-000", tmp_path / "fixed.nii.gz")
    version = library.accept_file("case-000", tmp_path / "fixed.nii.gz", SCHEMA)
    found = library.read_label(library.case("case-000"), version)
    np.testing.assert_array_equal(found.array, label_of(one).array)
    with pytest.raises(InputError, match="not a whole number"):
        library.accept_file("case-000", library.case("case-000").image_file("t1c"))


def test_who_decided_each_voxel_is_kept_beside_the_label_on_its_grid(filled, tmp_path):
    library, made = filled
    label = label_of(made["case-000"])
    who = np.zeros(label.array.shape, np.uint8)
    who[2:5, 3, 4], who[6, 7, 8:10] = 1, 2
    affine = label.grid.affine_xyz[:, [1, 0, 2, 3]]  # the same voxels, x and y exchanged
    turned = Volume(np.ascontiguousarray(who.transpose(0, 2, 1)), Grid(who.transpose(0, 2, 1).shape, affine))
    version = library.accept("case-000", label, SCHEMA, origins=turned)
    counts = {"predicted": who.size - 5, "edited": 3, "carried": 2}
    assert version.origins.voxels == counts
    case = library.case("case-000")
    assert case.accepted == version
    assert (who == np.asarray(nib.load(case.origins_file(version)).dataobj).T).all()
    assert (verify_library(library), unfinished_labels(library)) == ([], [])
    case.origins_file(version).write_bytes(b"changed")
    assert "0001-expert_origin.nii.gz: does not match its checksum" in verify_library(library)[0]


@pytest.mark.parametrize("change", [lambda who: who + 3, lambda who: who[:-1]])
def test_origins_that_do_not_fit_the_label_are_refused_and_nothing_is_written(filled, change):
    library, made = filled
    label = label_of(made["case-000"])
    who = change(np.zeros(label.array.shape, np.uint8))
    with pytest.raises(LibraryError, match="is not a map of 0, 1 and 2 on the label's grid"):
        library.accept("case-000", label, SCHEMA, origins=Volume(who, Grid(who.shape, label.grid.affine_xyz)))
    assert library.case("case-000").labels == ()


def test_what_enters_twice_is_there_once(filled, tmp_path):
    library, made = filled
    again = library.add_case("case-000", images_of(made["case-000"]))
    assert again == library.case("case-000")
    assert len(library.cases()) == 3
    with pytest.raises(LibraryError, match="already exists with other images"):
        library.add_case("case-000", images_of(phantom(9)))
    with pytest.raises(LibraryError, match="are already in the library as case case-000"):
        library.add_case("case-009", images_of(made["case-000"]))


@pytest.mark.parametrize("name", ["Jane Doe", "doe_jane", "a/../b1", "", "é1", "1" * 65])
def test_a_name_is_no_code(filled, name):
    library, _ = filled
    with pytest.raises(LibraryError, match="must be a code"):
        library.add_case(name, images_of(phantom(9)))
    if name:
        with pytest.raises(LibraryError, match="must be a code"):
            library.add_case("case-9", images_of(phantom(9)), patient=name)


def test_a_patient_stays_in_the_part_it_entered(tmp_path):
    library = create_library(tmp_path / "library", seed=0)
    for number, part in ((1, "training"), (2, "hold-out")):
        library.add_case(f"p{number}-a", images_of(phantom(number)), patient=f"p{number}", part=part)
        assert library.add_case(f"p{number}-b", images_of(phantom(number + 10)), patient=f"P{number}").part == part
    with pytest.raises(LibraryError, match="case p1-a: is in the training part since it entered"):
        library.add_case("p1-a", images_of(phantom(1)), patient="p1", part="hold-out")
    with pytest.raises(LibraryError, match="in the hold-out part"):
        library.add_case("p2-c", images_of(phantom(30)), patient="p2", part="training")
    with pytest.raises(ConfigError, match="unknown part 'test'"):
        library.add_case("p3-a", images_of(phantom(31)), part="test")


@pytest.mark.parametrize("change", ["classes", "grid", "kind"])
def test_a_label_that_does_not_fit_its_case_is_refused_and_nothing_is_written(filled, change):
    library, made = filled
    truth = label_of(made["case-000"])
    wrong = {
        "classes": Volume(truth.array + 3, truth.grid),
        "grid": Volume(truth.array, Grid(truth.grid.shape_zyx, truth.grid.affine_xyz * 1.1)),
        "kind": Volume(truth.array.astype(np.float32), truth.grid),
    }
    with pytest.raises(LibraryError, match=r"grid|class indices"):
        library.accept("case-000", wrong[change], SCHEMA)
    assert library.case("case-000").labels == ()
    assert list((library.folder / "cases" / "case-000" / "labels").iterdir()) == []


def test_a_moved_library_is_the_same_library(filled, tmp_path):
    library, made = filled
    library.accept("case-000", label_of(made["case-000"]), SCHEMA)
    cases = library.cases()
    library.folder.rename(tmp_path / "elsewhere")
    again = open_library(tmp_path / "elsewhere")
    assert again.id == library.id
    assert [(case.entry, case.labels) for case in again.cases()] == [(case.entry, case.labels) for case in cases]
    assert str(tmp_path) not in "".join(file.read_text(encoding="utf-8") for file in again.folder.rglob("*.json"))


def test_a_label_that_was_changed_afterwards_is_noticed(filled):
    library, made = filled
    version = library.accept("case-000", label_of(made["case-000"]), SCHEMA)
    case = library.case("case-000")
    case.label_file(version).write_bytes(b"")
    with pytest.raises(LibraryError, match="changed after it was accepted"):
        library.read_label(case, version)


def test_a_folder_that_is_no_library_or_a_damaged_one_says_so(filled, tmp_path):
    library, _ = filled
    with pytest.raises(LibraryError, match="is not a training library"):
        open_library(tmp_path)
    with pytest.raises(LibraryError, match="is not empty"):
        create_library(tmp_path)
    with pytest.raises(LibraryError, match=r"has no case 'x' \(known: case-000"):
        library.case("x")
    file = library.folder / "cases" / "case-001" / "case.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    for text in ("{", json.dumps({**record, "format": 99}), json.dumps({**record, "more": 1})):
        file.write_text(text)
        with pytest.raises(LibraryError, match=r"case\.json: is"):
            library.cases()


def test_of_two_who_create_a_library_at_once_one_is_refused(tmp_path):
    made = []

    def create(folder, start):
        start.wait()
        with suppress(LibraryError):
            made.append(create_library(folder).id)

    for number in range(20):
        folder, start = tmp_path / str(number), Barrier(2)
        threads = [Thread(target=create, args=(folder, start)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [open_library(folder).id]
        made.clear()


def test_the_room_needs_neither_torch_nor_onnx_runtime():
    code = (
        "import sys\n"
        "for name in ('torch', 'monai', 'onnxruntime', 'matplotlib', 'slicer'): sys.modules[name] = None\n"
        "import voxmmsd.library"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
