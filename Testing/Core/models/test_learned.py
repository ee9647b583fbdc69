import dataclasses

import pytest
from toy_models import relabeled_package, toy_package

from voxmmsd.home import home
from voxmmsd.models import registry
from voxmmsd.models.learned import Learned, has_learned, inherited_by, learned_by, patient_for_record, reason_learned


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    patient_id: str


FIRST, SECOND = Case("BraTS-GLI-00001-000", "BraTS-GLI-00001"), Case("BraTS-GLI-00001-001", "BraTS-GLI-00001")
STRANGER = Case("BraTS-GLI-00009-000", "BraTS-GLI-00009")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def of(toy, folder, id_="model-1", parent=None, **training):
    return relabeled_package(toy, folder / id_, id=id_, parent=parent, training=training)


def test_a_second_visit_of_a_patient_it_trained_on_is_not_new_to_an_old_package_without_patients(toy, tmp_path):
    package = of(toy, tmp_path, cases={"train": [FIRST.id]})
    assert has_learned(package, FIRST)
    assert has_learned(package, SECOND)
    assert not has_learned(package, STRANGER)


def test_recorded_patients_count_whatever_the_ids_look_like(toy, tmp_path):
    package = of(toy, tmp_path, cases={"train": ["scan-7"]}, patients={"train": ["P3"]})
    assert has_learned(package, Case("other-name", "p3"))
    assert not has_learned(package, Case("scan-8", "P4"))


def test_a_patient_whom_the_cases_id_does_not_name_is_recorded_as_a_hash_and_found_again(toy, tmp_path):
    hidden = Case("scan-7", "Hospital-4711")
    recorded = patient_for_record(hidden)
    assert "4711" not in recorded
    assert patient_for_record(FIRST) == FIRST.patient_id
    package = of(toy, tmp_path, cases={"train": [hidden.id]}, patients={"train": [recorded]})
    assert has_learned(package, Case("scan-8", "hospital-4711"))
    assert not has_learned(package, Case("scan-8", "Hospital-4712"))
    child = of(toy, tmp_path, "child-1", "model-1", inherited=learned_by(package.info).record())
    assert has_learned(child, Case("scan-8", "Hospital-4711"))


def test_what_it_was_chosen_by_counts_and_what_it_was_only_scored_on_does_not(toy, tmp_path):
    package = of(toy, tmp_path, cases={"train": ["a"], "validation": [FIRST.id], "test": [STRANGER.id]})
    assert reason_learned(package, SECOND) == "model-1 was selected by its score on it"
    assert not has_learned(package, STRANGER)


def test_held_out_patients_of_a_library_have_chosen_nothing(toy, tmp_path):
    library = {"id": "x", "labels": {}, "judged_by": {FIRST.id: 1}}
    assert not has_learned(of(toy, tmp_path, cases={"validation": [FIRST.id]}, library=library), FIRST)


def test_what_the_parents_of_an_old_package_learned_from_is_found_in_the_registry_and_in_runs(toy, tmp_path):
    registry.import_model(of(toy, tmp_path, "middle-1", "oldest-1", cases={"train": [STRANGER.id]}).folder)
    run = home() / "runs" / "night" / "model"
    run.parent.mkdir(parents=True)
    relabeled_package(toy, run, id="oldest-1", schema="", training={"cases": {"unlabelled": [FIRST.id]}})
    child = of(toy, tmp_path, "child-1", "middle-1", cases={"train": ["a"]})
    assert has_learned(child, STRANGER)
    assert reason_learned(child, SECOND) == "a model that child-1 was started from was trained on it"
    assert not has_learned(child, Case("BraTS-GLI-00002-000", "BraTS-GLI-00002"))


def test_a_package_that_records_its_ancestry_needs_no_ancestor_beside_it(toy, tmp_path):
    inherited = Learned(frozenset({FIRST.id.lower()}), frozenset({FIRST.patient_id.lower()})).record()
    child = of(toy, tmp_path, parent="gone-1", cases={"train": ["a"]}, inherited=inherited)
    assert has_learned(child, SECOND)
    assert not has_learned(child, STRANGER)


def test_where_an_ancestor_is_unknown_no_case_is_new_and_the_reason_says_what_to_do(toy, tmp_path):
    child = of(toy, tmp_path, parent="gone-1", cases={"train": ["a"]})
    assert has_learned(child, STRANGER)
    assert "gone-1" in reason_learned(child, STRANGER)
    assert "voxmmsd models import" in reason_learned(child, STRANGER)
    grandchild = of(toy, tmp_path, "model-2", "model-1", inherited=learned_by(child.info).record())
    assert inherited_by(grandchild.info).unknown == ("gone-1",)


def test_a_model_that_names_itself_as_its_parent_ends_the_walk(toy, tmp_path):
    loop = of(toy, tmp_path, "loop-1", "loop-1", cases={"train": ["a"]})
    assert not has_learned(loop, STRANGER)
