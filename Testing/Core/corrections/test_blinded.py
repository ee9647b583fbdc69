import pytest
from corrected_cases import SCHEMA, label_of, library_of, moved
from toy_models import toy_package

from voxmmsd.corrections import blinded, side_by_side
from voxmmsd.corrections.blinded import choose, offer_pair, pairs, tally
from voxmmsd.errors import ConfigError, LibraryError


@pytest.fixture
def filled(tmp_path):
    library, made = library_of(tmp_path / "library", 3)
    said = {case_id: {"old": moved(label_of(one), 2), "new": label_of(one)} for case_id, one in made.items()}
    return library, said


def test_which_model_is_first_is_decided_by_chance_and_told_after_the_choice(filled, monkeypatch):
    library, said = filled
    for coin, case_id in ((0, "case-000"), (1, "case-001")):
        monkeypatch.setattr(blinded.secrets, "randbelow", lambda _, coin=coin: coin)
        pair = offer_pair(library, case_id, said[case_id], SCHEMA)
        assert (pair.choice, pair.chosen) == ("", "")
        assert "old" not in (pair.folder / "pair.json").read_text(encoding="utf-8")
        assert choose(library, pair.number, "first").chosen == ("new", "old")[coin]


def test_a_case_of_which_two_models_say_the_same_does_not_stand_in_the_way_of_others(filled, monkeypatch, tmp_path):
    library, said = filled
    models = [toy_package(tmp_path / name, id=name) for name in ("old", "new")]

    def of_case(library, case, package, schema):
        return said[case.id]["new" if case.id == "case-000" else package.info.id]

    monkeypatch.setattr(side_by_side, "_said", of_case)
    assert side_by_side.side_by_side(library, *models).case_id == "case-001"
    with pytest.raises(LibraryError, match="case-000: both models give the same labels"):
        side_by_side.side_by_side(library, *models, "case-000")
    assert side_by_side.side_by_side(library, *models).case_id == "case-002"
    with pytest.raises(LibraryError, match="of which they differ"):
        side_by_side.side_by_side(library, *models)


def test_a_choice_stands(filled):
    library, said = filled
    pair = offer_pair(library, "case-000", said["case-000"], SCHEMA)
    with pytest.raises(ConfigError, match="unknown answer 'left'"):
        choose(library, pair.number, "left")
    choose(library, pair.number, "equal")
    with pytest.raises(LibraryError, match="was chosen already"):
        choose(library, pair.number, "first")
    with pytest.raises(LibraryError, match="has no pair '0009'"):
        choose(library, "0009", "first")


def test_the_tally_counts_choices_of_the_two_models_alone(filled):
    library, said = filled
    assert tally(library, "old", "new").text == "no choice yet"
    for case_id in said:
        pair = offer_pair(library, case_id, said[case_id], SCHEMA)
        if case_id != "case-002":
            best = "first" if chosen_first(pair) == "new" else "second"
            choose(library, pair.number, best)
    found = tally(library, "old", "new")
    assert (found.new, found.old, found.equal, found.open) == (2, 0, 0, 1)
    assert found.text == "the new model was chosen in 2 of 2 unnamed comparisons, 0 equal; too few to be sure"
    assert tally(library, "old", "other").text == "no choice yet"


def chosen_first(pair):
    import json

    return json.loads((pair.folder / "sealed.json").read_text(encoding="utf-8"))["first"]


def test_many_choices_one_way_are_sure(filled):
    assert blinded.stats.binomtest(6, 6).pvalue < blinded.ENOUGH < blinded.stats.binomtest(5, 5).pvalue


def test_what_cannot_be_compared_is_refused(filled):
    library, said = filled
    same = said["case-000"]["new"]
    with pytest.raises(LibraryError, match="both models give the same labels"):
        offer_pair(library, "case-000", {"a": same, "b": same}, SCHEMA)
    with pytest.raises(LibraryError, match="a pair needs two models"):
        offer_pair(library, "case-000", {"a": same}, SCHEMA)
    offer_pair(library, "case-000", said["case-000"], SCHEMA)
    with pytest.raises(LibraryError, match="compared on it already"):
        offer_pair(library, "case-000", said["case-000"], SCHEMA)
    assert len(pairs(library)) == 1
    (pairs(library)[0].folder / "sealed.json").write_text("[]")
    with pytest.raises(LibraryError, match="is not a complete pair"):
        pairs(library)
