import csv
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voxmmsd.cli import main
from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import PreparedCase, prepare_cases
from voxmmsd.errors import Canceled, ConfigError, RunError
from voxmmsd.experiment.config import ABLATIONS, Arm, ExperimentConfig
from voxmmsd.experiment.run import compare
from voxmmsd.files import sha256_of
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, Run, view_run
from voxmmsd.runs.control import ask
from voxmmsd.training_config import PretrainConfig

EXPERIMENT = """
folders = ["{store}"]
splits = "{splits}"
methods = ["scratch", "vox-mmsd", "restoration-only", "probe"]
cases = [1, 2]
draws = 2
[pretrain]
preset = "tiny"
channels = [4, 6, 8]
block = 16
mask_size = 4
steps = 1
device = "cpu"
[finetune]
preset = "tiny"
channels = [4, 6, 8]
patch = 16
steps = 1
device = "cpu"
[variants.restoration-only]
cases = [1]
[variants.probe]
cases = [1]
finetune.linear_probe = true
"""


@pytest.fixture(scope="module", autouse=True)
def without_onnx():
    """No test here segments by ONNX Runtime, and the export is half of so short a training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxmmsd.models.weights.export_onnx", lambda network, file: file.write_bytes(b""))
        patch.setattr("voxmmsd.models.package.refuse_strange_graph", lambda file: None)
        yield


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
    return run, compare(experiment, str(run))


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
    rows = list(csv.DictReader((run / "results-validation.csv").open()))
    assert len(rows) == 12
    assert {row["method"] for row in rows if row["cases"] == "2"} == {"scratch", "vox-mmsd"}
    assert text == (run / "results-validation.txt").read_text(encoding="utf-8").rstrip()
    assert "on 1 validation case" in text
    page = (run / "report-validation.html").read_text(encoding="utf-8")
    for heading in ("Results", "Calibration, 2 labeled cases", "Volumes, 1 labeled cases", "Patients"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png") == 2 + 2 + 2


@pytest.mark.long
def test_a_paused_experiment_continues_to_the_same_results(done, experiment, tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = Run.asked
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if "draw-1" in str(self.folder) else real(self))
    with pytest.raises(Canceled):
        compare(experiment, str(run))
    monkeypatch.undo()
    assert view_run(run).state == "paused", "asked of a training within it"
    assert not (run / "results-validation.csv").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "resume", str(run)]) == 0
    assert (run / "results-validation.csv").read_text(encoding="utf-8") == (
        done[0] / "results-validation.csv"
    ).read_text(encoding="utf-8")


@pytest.fixture
def smaller(experiment, tmp_path):
    """One draw of one case, without an ablation and a probe."""
    text = experiment.read_text(encoding="utf-8").replace('"vox-mmsd", "restoration-only", "probe"', '"vox-mmsd"')
    text = text.replace("cases = [1, 2]", "cases = [1]").replace("draws = 2", "draws = 1")
    file = tmp_path / "smaller.toml"
    file.write_text(text[: text.index("[variants")])
    return file


@pytest.mark.long
def test_trainings_at_the_same_time_end_as_one_after_the_other(done, smaller, tmp_path):
    assert main(["compare", str(smaller), "--run", str(tmp_path / "run"), "--jobs", "2"]) == 0
    rows, expected = ((run / "results-validation.csv").read_text().splitlines() for run in (tmp_path / "run", done[0]))
    assert len(rows) == 3
    assert set(rows) <= set(expected)
    parts = ("pretrain/vox-mmsd", "finetune/scratch-1-cases-draw-0", "finetune/vox-mmsd-1-cases-draw-0")
    status = [json.loads((tmp_path / "run" / part / "status.json").read_text(encoding="utf-8")) for part in parts]
    assert len({each["starts"][0]["pid"] for each in status} - {os.getpid()}) == 3


@pytest.mark.long
@pytest.mark.parametrize("asked", [".", "finetune/scratch-1-cases-draw-0"])
def test_a_pause_of_all_or_of_one_reaches_all_trainings_at_work_and_a_failed_one_is_named(smaller, tmp_path, asked):
    text = smaller.read_text(encoding="utf-8")
    smaller.write_text(text.replace("steps = 1\n", "steps = 3000\n"))  # not paused, they would end as finished
    run = tmp_path / "run"
    parts = [run / "pretrain" / "vox-mmsd", run / "finetune" / "scratch-1-cases-draw-0"]

    def is_at_work(part):
        return (part / "status.json").is_file() and (view := view_run(part)).state == "running" and view.step > 0

    def pause_when_all_are_at_work():
        while not all(map(is_at_work, parts)):
            time.sleep(0.1)
        ask(run / asked, Request.PAUSE)

    asker = threading.Thread(target=pause_when_all_are_at_work, daemon=True)
    asker.start()
    with pytest.raises(Canceled):
        compare(smaller, str(run), jobs=2)
    assert [view_run(part).state for part in parts] == ["paused", "paused"]
    assert view_run(run).state == "paused"
    if asked == ".":
        (parts[1] / "splits.json").write_text("{}")  # now nothing trains there
        with pytest.raises(RunError, match="scratch-1-cases-draw-0"):
            compare(smaller, str(run), jobs=2)
        assert view_run(parts[0]).state == "paused"


def test_an_ablation_is_pre_trained_by_its_own_options_once_and_a_probe_takes_the_first_start(done):
    run, _ = done
    assert {folder.name for folder in (run / "pretrain").iterdir()} == {"vox-mmsd", "restoration-only"}
    ablation = read_package(run / "pretrain" / "restoration-only" / "model")
    assert ablation.info.training["options"]["distillation"] is False
    probe = read_package(run / "finetune" / "probe-1-cases-draw-1" / "model").info
    assert probe.parent == read_package(run / "pretrain" / "vox-mmsd" / "model").info.id
    assert probe.training["options"]["linear_probe"] is True
    assert not (run / "finetune" / "restoration-only-2-cases-draw-0").exists()


def test_an_experiment_grows_and_opens_the_test_cases_without_training_again(done, experiment, tmp_path):
    run, _ = done
    weights = run / "finetune" / "scratch-1-cases-draw-0" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    grown = tmp_path / "grown.toml"
    text = experiment.read_text(encoding="utf-8").replace('"probe"]', '"probe", "distillation-only", "vox-again"]')
    text += f'[variants.distillation-only]\ncases = [1]\n[variants.vox-again]\nstart = "{run}/pretrain/vox-mmsd"\n'
    grown.write_text(text)
    table = compare(grown, str(run), test=True)
    assert "on 1 test case" in table
    assert weights.stat().st_mtime_ns == before
    rows = list(csv.DictReader((run / "results-test.csv").open()))
    assert {row["method"] for row in rows} >= {"distillation-only", "vox-again"}
    by_arm = {(row["method"], row["cases"], row["draw"]): row["dice"] for row in rows}
    assert by_arm["vox-again", "2", "1"] == by_arm["vox-mmsd", "2", "1"], "one start, one recipe, the same cases"
    cases = list(csv.DictReader((run / "cases-test.csv").open()))
    assert len(cases) == len(rows) * 5  # one case; three regions and, beside ET, two labels


def test_draws_hold_every_label_where_asked(experiment, tmp_path, monkeypatch):
    file = tmp_path / "experiment.toml"
    file.write_text("every_label = true\n" + experiment.read_text(encoding="utf-8"))
    real, poor = PreparedCase.label, []

    def label(entry):  # all but one case have lost their enhancing tumor
        array = np.array(real(entry))
        poor.append(entry.id)
        return np.where(array == 3, 1, array) if len(set(poor)) > 1 and entry.id != poor[0] else array

    monkeypatch.setattr(PreparedCase, "label", label)
    monkeypatch.setattr(Run, "asked", lambda self: Request.CANCEL)
    with pytest.raises(Canceled):
        compare(file, str(tmp_path / "run"))
    draws = [
        json.loads(f.read_text(encoding="utf-8"))["train"] for f in (tmp_path / "run" / "draws").glob("1-cases*.json")
    ]
    assert draws == [[poor[0]]] * 2


def test_a_case_that_knows_the_whole_tumor_alone_holds_no_label_of_a_draw(experiment, tmp_path, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(experiment.parent / "store", store)
    pool = json.loads((experiment.parent / "splits.json").read_text())["pool"]
    for id_ in pool[1:]:
        array = np.load(store / f"{id_}.npy")
        array[4] = array[4] > 0
        np.save(store / f"{id_}.npy", array)
        record = json.loads((store / f"{id_}.json").read_text())
        told = {**record, "schema": "whole-tumor", "array_sha256": sha256_of(store / f"{id_}.npy")}
        (store / f"{id_}.json").write_text(json.dumps(told))
    text = experiment.read_text(encoding="utf-8").replace(str(experiment.parent / "store"), str(store))
    text = text.replace("[finetune]", '[finetune]\ntarget_schema = "brats-gli-2023"').replace(
        "cases = [1, 2]", "cases = [2]"
    )
    file = tmp_path / "experiment.toml"
    file.write_text("every_label = true\n" + text.replace("cases = [1]", "cases = [2]"))
    monkeypatch.setattr(Run, "asked", lambda self: Request.CANCEL)
    with pytest.raises(Canceled):
        compare(file, str(tmp_path / "run"))
    draws = [json.loads(file.read_text())["train"] for file in (tmp_path / "run" / "draws").iterdir()]
    assert len(draws) == 2 and all(pool[0] in draw for draw in draws)


def test_every_ablation_has_a_name_and_differs_from_the_method():
    default = make_config(PretrainConfig, {})
    for name, options in ABLATIONS.items():
        config = ExperimentConfig(("f",), "s", ("scratch", name))
        assert make_config(PretrainConfig, config.variant(name).pretrain) != default
        assert config.variant(name).pretrain == options


def test_what_cannot_be_compared_is_refused(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "asked", lambda self: Request.CANCEL)
    text = experiment.read_text(encoding="utf-8")
    for old, new, message in (
        ("cases = [1, 2]", "cases = [1, 9]", "9 labeled cases requested"),
        ('"vox-mmsd",', '"magic",', "unknown method magic"),
        ("draws = 2", "draws = 0", "at least one method"),
        ('"probe"]', '"Pro be"]', "unknown method Pro be"),
        ("[variants.probe]", "[variants.prob]", "unknown method probe"),
        ("finetune.linear_probe", "finetune.linear_prob", "unknown option linear_prob"),
        ("finetune.linear_probe", "linear_probe", r"\[variants.probe\]: unknown option linear_probe"),
        ("cases = [1]", "cases = [7]", "asks for 7 cases"),
        (
            'methods = ["scratch", "vox-mmsd", "restoration-only"',
            'methods = ["restoration-only", "scratch", "vox-mmsd"',
            "scratch at 2 cases has no restoration-only",
        ),
        ("[finetune]\npreset", "[finetune]\nseed=9\npreset", "itself decides on seed"),
        ("channels = [4, 6, 8]\npatch", "channels = [4, 8, 8]\npatch", "nothing would be taken over"),
        ("splits =", "split =", "unknown option split"),
    ):
        assert old in text
        file = tmp_path / "bad.toml"
        file.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=message):
            compare(file, str(tmp_path / "run"))


def test_a_given_start_of_other_channels_is_refused_before_the_first_training(done, experiment, tmp_path):
    text = experiment.read_text(encoding="utf-8").replace("[4, 6, 8]", "[4, 8, 8]")
    text = text.replace("finetune.linear_probe = true", f'start = "{done[0]}/pretrain/vox-mmsd"')
    file = tmp_path / "experiment.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"probe: .*vox-mmsd has the channels \(4, 6, 8\), fine-tuning \(4, 8, 8\)"):
        compare(file, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "pretrain").exists()


def test_unlabeled_patients_are_pretrained_on_and_none_that_is_kept_back(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "asked", lambda self: Request.CANCEL)
    write_phantoms(tmp_path / "in", 1, seed=7, side=32)
    unlabeled = [replace(case, label=None) for case in find_cases(tmp_path / "in").cases]
    prepare_cases(unlabeled, tmp_path / "more", workers=1)
    store, listed = experiment.parent / "store", json.loads((experiment.parent / "splits.json").read_text())
    (tmp_path / "all.json").write_text(json.dumps({"train": [*listed["pool"], "phantom-007-000"]}))
    file = tmp_path / "experiment.toml"
    text = experiment.read_text(encoding="utf-8").replace(f'["{store}"]', f'["{store}", "{tmp_path / "more"}"]')
    file.write_text(f'pretrain_splits = "{tmp_path / "all.json"}"\n{text}')
    with pytest.raises(Canceled):
        compare(file, str(tmp_path / "run"))
    record = tmp_path / "more" / "phantom-007-000.json"
    (held,) = listed["validation"]
    patient = json.loads((store / f"{held}.json").read_text())["patient_id"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "patient_id": patient}))
    with pytest.raises(ConfigError, match=f"pre-trains on {patient}, which .* keeps back"):
        compare(file, str(tmp_path / "again"))
    images = json.loads((store / f"{held}.json").read_text())["image_hash"]  # the same scan under another name
    told = {**json.loads(record.read_text()), "patient_id": "another", "image_hash": images}
    record.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=f"pre-trains on {patient}, which .* keeps back"):
        compare(file, str(tmp_path / "once-more"))


@pytest.mark.parametrize(("name", "with_three"), [("label_efficiency", 7), ("label_efficiency_small", 2)])
def test_the_shipped_experiments_can_be_read(name, with_three):
    file = Path(__file__).resolve().parents[3] / "benchmarks" / f"{name}.toml"
    experiment = make_config(ExperimentConfig, {}, file)
    arms = list(experiment.arms())
    assert len(arms) == len(set(arms)) == 3 * (2 * 2 + with_three)
    assert {arm.method for arm in arms if arm.cases == 11} == {"scratch", "vox-mmsd"}
