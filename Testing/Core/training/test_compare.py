import csv
import json

import pytest

from voxmmsd.cli import main
from voxmmsd.config import CompareConfig
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import Cancelled, ConfigError
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Run, view_run
from voxmmsd.training.compare import Arm, Result, compare, summary

EXPERIMENT = """
folders = ["{store}"]
splits = "{splits}"
methods = ["scratch", "vox-mmsd"]
cases = [1, 2]
draws = 2
[pretrain]
preset = "tiny"
channels = [4, 6, 8]
block = 16
cell = 4
steps = 2
device = "cpu"
[finetune]
preset = "tiny"
channels = [4, 6, 8]
patch = 16
steps = 3
device = "cpu"
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    write_phantoms(folder / "in", 5, seed=0, side=32)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    ids = [file.stem for file in sorted((folder / "store").glob("*.npy"))]
    (folder / "splits.json").write_text(json.dumps({"pool": ids[:3], "validation": ids[3:4], "test": ids[4:]}))
    file = folder / "experiment.toml"
    file.write_text(EXPERIMENT.format(store=folder / "store", splits=folder / "splits.json"))
    return file


@pytest.fixture(scope="module")
def done(experiment, tmp_path_factory):
    run = tmp_path_factory.mktemp("done") / "run"
    return run, compare(CompareConfig(str(experiment), str(run)))


def train_cases(run, arm):
    return read_package(run / "finetune" / arm.name / "model").info.training["cases"]["train"]


def test_methods_are_paired_by_draw_and_more_cases_include_the_fewer(done):
    run, _ = done
    for draw in range(2):
        for cases in (1, 2):
            one, other = (train_cases(run, Arm(method, cases, draw)) for method in ("scratch", "vox-mmsd"))
            assert one == other
            assert len(one) == cases
        assert set(train_cases(run, Arm("scratch", 1, draw))) < set(train_cases(run, Arm("scratch", 2, draw)))


def test_only_the_pre_trained_arms_start_from_the_one_pre_training(done):
    run, _ = done
    start = read_package(run / "pretrain" / "vox-mmsd" / "model")
    assert len(start.info.training["cases"]["unlabelled"]) == 3  # neither validation nor test
    assert read_package(run / "finetune" / "vox-mmsd-1-cases-draw-0" / "model").info.parent == start.info.id
    assert read_package(run / "finetune" / "scratch-1-cases-draw-0" / "model").info.parent is None


def test_the_scores_of_all_arms_are_written(done):
    run, text = done
    rows = list(csv.DictReader((run / "results.csv").open()))
    assert len(rows) == 8
    assert {row["method"] for row in rows} == {"scratch", "vox-mmsd"}
    assert text == (run / "results.txt").read_text(encoding="utf-8").rstrip()
    assert "on 1 test cases" in text


def test_a_paused_experiment_continues_to_the_same_results(done, experiment, tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = Run.asked
    monkeypatch.setattr(Run, "asked", lambda self: "pause" if "draw-1" in str(self.folder) else real(self))
    with pytest.raises(Cancelled):
        compare(CompareConfig(str(experiment), str(run)))
    monkeypatch.undo()
    assert view_run(run).state == "paused", "asked of a training within it"
    assert not (run / "results.csv").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "resume", str(run)]) == 0
    assert (run / "results.csv").read_text() == (done[0] / "results.csv").read_text()


def test_mean_spread_and_paired_difference_are_what_they_say():
    scores = {("scratch", 0): 0.5, ("scratch", 1): 0.7, ("vox-mmsd", 0): 0.6, ("vox-mmsd", 1): 0.72}
    results = [Result(Arm(method, 3, draw), dice, {}) for (method, draw), dice in scores.items()]
    lines = summary(results, "what").splitlines()
    assert "0.600 ± 0.141" in lines[2]
    assert "0.660 ± 0.085  +0.060 ± 0.057, better in 2 of 2 draws" in lines[3]


def test_what_cannot_be_compared_is_refused(experiment, tmp_path):
    text = experiment.read_text()
    for old, new, message in (
        ("cases = [1, 2]", "cases = [9]", "9 labelled cases asked for"),
        ('"vox-mmsd"]', '"magic"]', "unknown method magic"),
        ("draws = 2", "draws = 0", "at least one method"),
        ("splits =", "split =", "unknown option split"),
    ):
        file = tmp_path / "bad.toml"
        file.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=message):
            compare(CompareConfig(str(file), str(tmp_path / "run")))
