from dataclasses import replace

import pytest
from toy_models import toy_info, toy_package

from voxmmsd.errors import ModelError
from voxmmsd.files import write_json_atomic
from voxmmsd.labels import MODALITIES
from voxmmsd.models.card import card
from voxmmsd.models.package import CARD, read_package, rewrite_record
from voxmmsd.models.registry import import_model
from voxmmsd.models.subsets import SUBSETS, expectation, subset_key, table_rows, with_subset_scores


def record(**changes):
    scores = {subset_key(subset): {"WT": 0.5 + len(subset) / 10, "ET": None} for subset in SUBSETS}
    return {"split": "validation", "cases": ["a", "b"], "created": "2026-02-03", "dice": scores, **changes}


def test_there_are_fifteen_subsets_and_each_has_its_key():
    assert len({subset_key(subset) for subset in SUBSETS}) == 15
    assert subset_key(("t2f", "t1c")) == "t1c+t2f"


def test_what_to_expect_without_a_modality_is_the_cards_figure_for_what_is_left():
    info = toy_info()
    assert "how much less is not in its card" in expectation(info, ("t2w",))
    told = expectation(with_subset_scores(info, record()), ("t1n", "t2w"))
    assert "without t1n, t2w" in told
    assert "Dice of WT 0.70 (with all four 0.90), ET - (with all four -), over 2 validation cases" in told


def test_the_row_of_all_modalities_on_test_cases_is_the_models_telling_score():
    before = toy_info()
    assert with_subset_scores(before, record()).headline_scores == before.headline_scores
    found = with_subset_scores(before, record(split="test")).headline_scores
    assert found == ("test", {"cases": 2, "regions": {"WT": 0.9, "ET": None}})


def test_without_any_modality_there_is_nothing_to_expect():
    told = expectation(with_subset_scores(toy_info(), record()), MODALITIES)
    assert told.endswith("there is nothing to segment")


def test_the_table_has_a_row_per_subset_in_the_card_too():
    rows = table_rows(record())
    assert rows[0] == ["T1", "T1 post-contrast", "T2", "FLAIR", "WT", "ET"]
    assert rows[1] == ["x", "x", "x", "x", "0.90", "-"]
    assert ["", "", "", "x", "0.60", "-"] in rows
    text = card(with_subset_scores(toy_info(), record()))
    assert "over 2 validation cases, measured 2026-02-03" in text
    assert "| x |  | x |  | 0.70 | - |" in text
    assert "Mean Dice over 1 validation case:" in text, "the other scores stay"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture
def package(made, tmp_path):
    import shutil

    shutil.copytree(made.folder, tmp_path / "toy")
    return read_package(tmp_path / "toy")


def scored(package):
    return rewrite_record(package, lambda info: with_subset_scores(info, record()), card)


def test_a_rewritten_record_leaves_a_whole_package_of_the_same_network(package):
    scored(package)
    again = read_package(package.folder)
    assert again.info.scores["subsets"]["dice"]["t1n"] == {"WT": 0.6, "ET": None}
    assert again.info.id == package.info.id
    assert again.info.files.keys() == package.info.files.keys()
    assert "Mean Dice with each subset" in (package.folder / CARD).read_text(encoding="utf-8")
    assert {f.name for f in package.folder.iterdir()} == {*package.info.files, "model.json"}


@pytest.mark.parametrize("step", ["record", "card"])
def test_a_rewrite_that_is_cut_short_leaves_the_package_whole(package, monkeypatch, step):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "record":
            patch.setattr("voxmmsd.models.package.write_json_atomic", killed)
        else:
            patch.setattr("voxmmsd.models.package.write_json_atomic", lambda *a: (write_json_atomic(*a), killed()))
        with pytest.raises(KeyboardInterrupt):
            scored(package)
    again = read_package(package.folder)
    assert ("subsets" in again.info.scores) == (step == "card")
    assert ("Mean Dice with each subset" in again.file(CARD).read_text(encoding="utf-8")) == (step == "card")


def test_a_model_that_got_scores_is_still_the_same_model_to_the_registry(package):
    known = import_model(package.folder)
    scored(package)
    assert import_model(package.folder).folder == known.folder
    other = replace(package.info, files={**package.info.files, "weights.safetensors": "0" * 64})
    with pytest.raises(ModelError, match="other weights"):
        scored(replace(package, info=other))


def test_what_another_call_wrote_into_the_record_meanwhile_is_kept(package):
    """Subsets are scored for hours, and the model may be calibrated in the meantime."""
    rewrite_record(package, lambda info: replace(info, training={**info.training, "calibration": "fitted"}), card)
    again = scored(package)
    assert again.info == read_package(package.folder).info
    assert again.info.training["calibration"] == "fitted" and "subsets" in again.info.scores


def test_all_modalities_are_one_of_the_subsets():
    assert SUBSETS[0] == MODALITIES


def test_three_digits_are_shown_where_enough_cases_made_them():
    assert table_rows(record(cases=[str(n) for n in range(10)]))[1][4] == "0.900"


def test_a_model_of_a_few_steps_says_so_on_its_card():
    few, many = (replace(toy_info(), training={"options": {"steps": steps}}) for steps in (5, 4000))
    assert "Trained for 5 steps only" in card(few) and "steps only" not in card(many)
