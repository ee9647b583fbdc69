from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from toy_models import as_kept, relabeled_package, toy_network, toy_package

from voxmmsd.cli import main
from voxmmsd.errors import ConfigError, ModelError
from voxmmsd.models.average import average_models
from voxmmsd.models.learned import NOTHING, has_learned
from voxmmsd.models.package import read_package
from voxmmsd.models.weights import load_network

CALIBRATED = {"temperature": 1.7, "cases": ["c"]}


@dataclass(frozen=True)
class Case:
    id: str
    patient_id: str


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A model, and one fine-tuned from it."""
    place = tmp_path_factory.mktemp("models")
    old = toy_package(
        place / "old",
        seed=0,
        id="old-1",
        training={"cases": {"train": ["a"], "validation": ["b"], "test": ["c", "d"]}, "sources": "set A"},
    )
    new = toy_package(
        place / "new",
        seed=1,
        id="new-1",
        parent="old-1",
        training={
            "cases": {"train": ["b", "c"], "validation": ["a"], "test": ["d"]},
            "sources": "set B",
            "options": {"steps": 30},
            "calibration": CALIBRATED,
        },
    )
    return [str(new.folder), str(old.folder)]


def test_every_tensor_is_the_mean_and_the_onnx_file_computes_with_it(family, tmp_path):
    from voxmmsd.inference.engines import OnnxEngine

    average_models(family, tmp_path / "mean")
    mean = load_network(read_package(tmp_path / "mean"))
    states = [toy_network(seed).state_dict() for seed in (1, 0)]
    for name, tensor in mean.state_dict().items():
        first, second = (as_kept(state[name]) for state in states)
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, as_kept((first + second) / 2), msg=name)
        else:
            assert tensor == first, name
    image = torch.rand(1, 4, 16, 16, 16)
    with torch.no_grad():
        wanted = mean(image).numpy()
    assert abs(OnnxEngine(read_package(tmp_path / "mean")).logits(image.numpy()) - wanted).max() < 1e-3


def test_it_knows_whatever_one_of_them_knows_and_claims_no_score(family, tmp_path):
    average_models(family, tmp_path / "mean", name="both")
    info = read_package(tmp_path / "mean").info
    assert (info.name, info.parent, info.scores, info.temperature) == ("both", "new-1", {}, 1.0)
    assert info.training["averaged"] == ["new-1", "old-1"]
    assert info.training["sources"] == "set B; set A"
    assert info.provenance.cases == {"train": ("b", "c", "a"), "validation": (), "test": ("d",)}
    assert (set(info.provenance.inherited.cases), info.provenance.inherited.unknown) == ({"a", "b", "c"}, ())
    card = (tmp_path / "mean" / "MODEL_CARD.md").read_text()
    assert "Trained for 30 steps only" in card  # as its card does
    assert "Not measured." in card and "averaged: 2 (new-1, old-1)" in card


def test_held_out_patients_of_a_library_judge_the_mean_too_and_those_who_chose_another_do_not(family, tmp_path):
    held, chosen = Case("h1-000", "h1"), Case("v1-000", "v1")
    cases = {"cases": {"train": ["a"], "validation": [held.id]}, "inherited": NOTHING.record()}
    siblings = [
        relabeled_package(
            read_package(Path(family[0])),
            tmp_path / name,
            id=name,
            parent="root-1",
            training=training,
        )
        for name, training in (
            ("other-1", {**cases, "cases": {"train": ["a"], "validation": [chosen.id]}}),
            ("left-1", {**cases, "library": {"id": "lib", "labels": {"a": 2, "b": 1}, "judged_by": {held.id: 1}}}),
            ("right-1", {**cases, "library": {"id": "lib", "labels": {"a": 1, "c": 1}, "judged_by": {held.id: 1}}}),
        )
    ]
    average_models([str(one.folder) for one in siblings], tmp_path / "mean")
    mean = read_package(tmp_path / "mean")
    assert mean.info.provenance.learned_labels("lib") == {"a": 2, "b": 1, "c": 1}
    assert (has_learned(mean, held), has_learned(mean, chosen)) == (False, True)


def test_a_parent_is_known_from_the_record_of_its_child_where_its_own_ancestors_are_lost(family, tmp_path):
    new, old = (read_package(Path(folder)) for folder in family)
    orphan = relabeled_package(old, tmp_path / "old", parent="gone-1")
    child = relabeled_package(
        new,
        tmp_path / "new",
        training={**new.info.training, "inherited": {"cases": ["a", "z"], "patients": [], "unknown": []}},
    )
    average_models([str(child.folder), str(orphan.folder)], tmp_path / "mean")
    inherited = read_package(tmp_path / "mean").info.provenance.inherited
    assert (set(inherited.cases), inherited.unknown) == ({"a", "b", "c", "z"}, ())
    average_models([str(new.folder), str(orphan.folder)], tmp_path / "unsure")
    assert read_package(tmp_path / "unsure").info.provenance.inherited.unknown == ("gone-1",)


def test_the_verb_says_what_is_to_be_done_next(family, tmp_path, capsys):
    assert main(["models", "average", *family, "--out", str(tmp_path / "mean")]) == 0
    said = capsys.readouterr().out
    assert "the mean of new-1 and old-1" in said and "models calibrate" in said


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_are_refused(family, tmp_path, count):
    with pytest.raises(ConfigError, match="needs two or more different models"):
        average_models(family[:count], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_name_that_is_too_long_for_an_id_is_refused(family, tmp_path):
    with pytest.raises(ConfigError, match="has 185 characters, and 184 are allowed"):
        average_models(family, tmp_path / "mean", name="n" * 185)
    assert not (tmp_path / "mean").exists()


def test_one_model_twice_is_refused(family, tmp_path):
    with pytest.raises(ConfigError, match="different models, given: old-1, old-1"):
        average_models([family[1], family[1]], tmp_path / "mean")


def test_a_model_of_another_descent_is_refused(family, tmp_path):
    stranger = relabeled_package(read_package(Path(family[1])), tmp_path / "stranger", id="stranger-1")
    with pytest.raises(ModelError, match="stranger-1: neither descends from one of the others"):
        average_models([*family, str(stranger.folder)], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_two_families_are_refused_together(family, tmp_path):
    of_others = [
        str(relabeled_package(read_package(Path(family[1])), tmp_path / name, id=name, parent="other-0").folder)
        for name in ("other-1", "other-2")
    ]
    with pytest.raises(ModelError, match="other-1: neither descends from one of the others"):
        average_models([*family, *of_others], tmp_path / "mean")


def test_models_of_other_labels_are_refused(family, tmp_path):
    other = toy_package(tmp_path / "other", seed=2, id="other-1", parent="old-1", schema="brats-2021")
    with pytest.raises(ModelError, match="other-1: has another schema than new-1"):
        average_models([family[0], str(other.folder)], tmp_path / "mean")


def test_siblings_can_be_averaged_and_an_existing_folder_is_refused(family, tmp_path):
    siblings = [
        relabeled_package(read_package(Path(family[0])), tmp_path / name, id=name, parent="root-1")
        for name in ("left-1", "right-1")
    ]
    average_models([str(one.folder) for one in siblings], tmp_path / "mean")
    with pytest.raises(ModelError, match="exists already"):
        average_models([str(one.folder) for one in siblings], tmp_path / "mean")
