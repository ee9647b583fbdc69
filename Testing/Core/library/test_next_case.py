import pytest
from corrected_cases import SCHEMA, label_of, library_of, moved

from voxmmsd.library import next_to_label


def place(wt, et):
    return {"effect_ml": {"WT": wt, "ET": et}, "size_ml": 1.0, "labels": ["ED", "background"]}


@pytest.fixture
def filled(tmp_path):
    library, made = library_of(tmp_path / "library", 5, hold_out_share=0.0)
    return library, {case_id: label_of(one) for case_id, one in made.items()}


def test_the_most_doubtful_prediction_comes_first_and_what_no_model_saw_last(filled):
    library, truth = filled
    library.add_prediction("case-001", truth["case-001"], SCHEMA, "m", review=[place(0.1, 0.0)])
    library.add_prediction("case-002", truth["case-002"], SCHEMA, "m", review=[place(0.3, 0.2), place(0.4, 0.1)])
    library.add_prediction("case-003", truth["case-003"], SCHEMA, "m")
    library.accept("case-004", truth["case-004"], SCHEMA)
    found = next_to_label(library.cases())
    assert [one.case_id for one in found] == ["case-002", "case-001", "case-003", "case-000"]
    assert "unsure in 2 places: it expects 0.7 of" in found[0].reason
    assert found[0].doubt == pytest.approx((0.7 / max(1, volume(library, "case-002", "WT")) + 0.3) / 2, abs=1e-3)
    assert found[2].doubt is None
    assert "no model has segmented it" in found[3].reason


def volume(library, case_id, region):
    return library.case(case_id).prediction.volumes_ml[region]


def test_a_held_out_case_comes_first_while_none_has_a_label(tmp_path):
    library, made = library_of(tmp_path / "library", 2, hold_out_share=0.5)
    (held,) = [case.id for case in library.cases() if case.part == "hold-out"]
    (other,) = set(made) - {held}
    library.add_prediction(other, moved(label_of(made[other])), SCHEMA, "m", review=[place(9, 9)])
    first, second = next_to_label(library.cases())
    assert (first.case_id, second.case_id) == (held, other)
    assert "no held-out patient has a label yet" in first.reason
    library.accept(held, label_of(made[held]), SCHEMA)
    assert [one.case_id for one in next_to_label(library.cases())] == [other]


def test_a_further_held_out_case_waits_for_its_turn_once_one_has_a_label(tmp_path):
    library, made = library_of(tmp_path / "library", 4, hold_out_share=0.5)
    labeled, further = [case.id for case in library.cases() if case.part == "hold-out"]
    library.accept(labeled, label_of(made[labeled]), SCHEMA)
    doubtful = next(case.id for case in library.cases() if case.part == "training")
    library.add_prediction(doubtful, label_of(made[doubtful]), SCHEMA, "m", review=[place(9, 9)])
    ranked = next_to_label(library.cases())
    assert ranked[0].case_id == doubtful
    assert further in [one.case_id for one in ranked]
    assert not any("no held-out patient" in one.reason for one in ranked)
