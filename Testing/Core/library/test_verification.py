import json

import pytest
from corrected_cases import SCHEMA, label_of, library_of

from voxmmsd.library.verification import unfinished_labels, verify_library


@pytest.fixture
def filled(tmp_path):
    library, made = library_of(tmp_path / "library", 2)
    library.accept("case-000", label_of(made["case-000"]), SCHEMA)
    assert verify_library(library) == []
    return library


@pytest.mark.parametrize("file", ["images/t1c.nii.gz", "labels/0001-expert.nii.gz"])
def test_a_changed_or_missing_file_is_named(filled, file):
    path = filled.folder / "cases" / "case-000" / file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert [line.split(": ")[1][:14] for line in verify_library(filled)] == ["does not match"]
    path.unlink()
    (problem,) = verify_library(filled)
    assert problem == f"{path}: is missing"


def test_a_damaged_record_is_named_and_the_other_cases_are_still_looked_at(filled):
    (filled.folder / "cases" / "case-000" / "case.json").write_text("{")
    (filled.folder / "cases" / "case-001" / "images" / "t2f.nii.gz").unlink()
    assert len(verify_library(filled)) == 2


def test_a_patient_in_both_parts_is_named(filled):
    for number, part in enumerate(("training", "hold-out")):
        file = filled.folder / "cases" / f"case-00{number}" / "case.json"
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "patient": "p1", "part": part}))
    assert verify_library(filled) == ["patient p1 both trains and is held out"]


def test_a_label_without_record_is_no_problem_but_is_told(filled):
    orphan = filled.folder / "cases" / "case-001" / "labels" / "0001-corrected.nii.gz"
    orphan.write_bytes(b"")
    assert verify_library(filled) == []
    assert unfinished_labels(filled) == [orphan]
