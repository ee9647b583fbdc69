import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from toy_models import as_kept, relabeled_package

from voxmmsd.cli import main
from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import Canceled, ConfigError, InputError, RunError
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models.package import read_package
from voxmmsd.models.registry import import_model
from voxmmsd.models.weights import load_network
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, Run, read_status
from voxmmsd.runs.events import read_events
from voxmmsd.training.checkpoint import load_state
from voxmmsd.training.finetune import finetune
from voxmmsd.training.validation import mean_region_dice
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.finetune import configured


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four prepared phantoms of 32 voxels a side."""
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 4, seed=0, side=32)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def options(store, run, **changes):
    given = {
        "folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (4, 6, 8), "patch": 16, "steps": 8,
        "validate_every": 4, "checkpoint_every": 2, "modality_dropout": 0.5, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return make_config(FinetuneConfig, {**given, **changes})


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    """The run folder of an uninterrupted run."""
    run = tmp_path_factory.mktemp("straight") / "run"
    finetune(options(store, run))
    return run


def last_weights(run):
    return load_state(sorted((run / "checkpoints").glob("step-*.pt"))[-1])["network"]


def metrics(run):
    """Step and name -> value; of a step written twice the last counts."""
    events = read_events(run / "events.jsonl")
    return {(e["step"], e["name"]): e["value"] for e in events if e["kind"] == "metric"}


def assert_same_run(one, two):
    for name, tensor in last_weights(one).items():
        assert torch.equal(tensor, last_weights(two)[name]), name
    assert metrics(one) == metrics(two)


def test_a_run_leaves_a_model_a_history_and_its_splits(straight):
    package = read_package(straight / "model")
    assert package.info.schema == "brats-gli-2023"
    assert package.info.parent is None
    assert len(package.info.training["cases"]["train"]) == 3
    assert set(package.info.scores["validation"]["volumes"]) == {"WT", "TC", "ET", "NCR", "ED"}
    status = read_status(straight)
    assert (status.state, status.step) == ("finished", 8)
    assert (
        json.loads((straight / "splits.json").read_text(encoding="utf-8"))["validation"]
        == package.info.training["cases"]["validation"]
    )
    assert {name for _, name in metrics(straight)} == {
        "loss", "learning_rate", "validation Dice", "validation Dice WT", "validation Dice TC", "validation Dice ET",
    }  # fmt: skip


def test_the_model_is_the_best_of_the_validations(straight):
    best = load_state(straight / "checkpoints" / "best.pt")
    dice = {step: value for (step, name), value in metrics(straight).items() if name == "validation Dice"}
    assert best["best"]["dice"] == max(dice.values())
    for name, tensor in load_network(read_package(straight / "model")).state_dict().items():
        assert torch.equal(tensor, as_kept(best["network"][name]))


def test_the_package_carries_no_path_of_its_makers_machine(straight, store):
    text = (straight / "model" / "model.json").read_text(encoding="utf-8") + (
        straight / "model" / "MODEL_CARD.md"
    ).read_text(encoding="utf-8")
    assert str(store.parent) not in text


def test_a_finished_run_says_so_and_does_nothing(straight, store, capsys):
    before = {file: file.stat().st_mtime_ns for file in straight.rglob("*")}
    assert finetune(options(store, straight)) == straight / "model"
    assert "is finished" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in straight.rglob("*")} == before
    with pytest.raises(RunError, match="steps 8 -> 9"):
        finetune(options(store, straight, steps=9))


def test_a_run_of_a_version_without_an_option_is_known_again(straight, store, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["options"]["edited_weight"], record["options"]["transforms"]
    file.write_text(json.dumps(record), encoding="utf-8")
    assert finetune(options(store, tmp_path / "run")) == tmp_path / "run" / "model"
    with pytest.raises(RunError, match=r"region_dice 1\.0 -> 0\.5"):
        finetune(options(store, tmp_path / "run", region_dice=0.5))


def test_a_paused_run_continues_to_the_same_weights_and_metrics(straight, store, tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = Run.asked

    def asked(self):
        return Request.PAUSE if self.step in (3, 6) and not self._begun.starts[self.step // 3 :] else real(self)

    monkeypatch.setattr(Run, "asked", asked)
    for _ in range(2):
        with pytest.raises(Canceled, match="paused"):
            finetune(options(store, run))
        assert read_status(run).state == "paused"
    finetune(options(store, run))
    assert len(read_status(run).starts) == 3
    assert_same_run(straight, run)


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(
    straight, store, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 6 else None)
    with pytest.raises(Canceled):
        finetune(options(store, run))
    monkeypatch.undo()
    newest = sorted((run / "checkpoints").glob("step-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-10])
    finetune(options(store, run))
    assert "going back to an earlier one" in capsys.readouterr().err
    assert_same_run(straight, run)


@pytest.mark.long
def test_a_clusters_warning_to_a_running_process_saves_its_last_step_and_ends_it(straight, store, tmp_path):
    run = tmp_path / "run"
    (tmp_path / "options.json").write_text(json.dumps(config_to_record(options(store, run, checkpoint_every=100))))
    code = (
        "import sys, time; from voxmmsd.cli import main; from voxmmsd.training.finetune import FineTuning; "
        "step = FineTuning.train_step; "
        "FineTuning.train_step = lambda self: (time.sleep(0.5), step(self))[1]; "
        f"sys.exit(main(['finetune', '--config', {str(tmp_path / 'options.json')!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not (status := read_status(run)) or status.step < 2:
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=60) == 130
    paused = read_status(run)
    assert paused.state == "paused"
    assert [file.stem for file in (run / "checkpoints").glob("step-*")] == [f"step-{paused.step:08d}"]
    finetune(options(store, run, checkpoint_every=100))
    assert_same_run(straight, run)


def starts_of(run):
    status = read_status(run)
    return len(status.starts) if status else 0


@pytest.mark.long
def test_a_killed_run_continues_to_the_same_weights_and_metrics(straight, store, tmp_path):
    run = tmp_path / "run"
    code = (
        "import sys, time; from voxmmsd.config import *; from voxmmsd.training import finetune as f; "
        "step = f.FineTuning.train_step; "
        "f.FineTuning.train_step = lambda self: (time.sleep(0.5), step(self))[1]; "
        f"f.finetune(config_from_record(FinetuneConfig, {dict(vars(options(store, run)))!r}))"
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        starts = starts_of(run)
        while starts_of(run) == starts and process.poll() is None:
            time.sleep(0.1)
        time.sleep(rng.uniform(0.5, 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finetune(options(store, run))
    assert_same_run(straight, run)


def test_a_seed_gives_the_same_run_and_another_seed_another(straight, store, tmp_path):
    finetune(options(store, tmp_path / "again"))
    finetune(options(store, tmp_path / "other", seed=1))
    assert_same_run(straight, tmp_path / "again")
    assert metrics(straight) != metrics(tmp_path / "other")


def test_starting_from_a_model_takes_its_weights_and_says_which(straight, store, tmp_path, capsys):
    run = tmp_path / "run"
    finetune(options(store, run, start=str(straight), steps=1, learning_rate=0.0, validate_every=1))
    said = capsys.readouterr().err
    assert "took 66 tensors" in said
    assert "fresh" not in said
    first = load_network(read_package(straight / "model")).state_dict()
    again = load_network(read_package(run / "model")).state_dict()
    for name, tensor in first.items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(again[name], tensor)
    assert read_package(run / "model").info.parent == read_package(straight / "model").info.id


def test_scoring_patients_that_the_start_has_learned_from_is_warned_of(straight, store, tmp_path, capsys):
    ids = [file.stem for file in sorted(store.glob("*.npy"))]
    (tmp_path / "splits.json").write_text(json.dumps({"train": ids[:2], "validation": [ids[3]], "test": [ids[2]]}))
    knowing = relabeled_package(
        read_package(straight / "model"), tmp_path / "m", training={"cases": {"train": [ids[2]]}}
    )
    given = {"splits": str(tmp_path / "splits.json"), "start": str(knowing.folder), "steps": 1}
    finetune(options(store, tmp_path / "run", **given))
    assert f"was trained on validation or test patients ({ids[2]})" in capsys.readouterr().err
    patients = read_package(tmp_path / "run" / "model").info.training
    assert patients["inherited"]["cases"] == [ids[2]]
    assert len(patients["patients"]["train"]) == 2


def test_cases_of_another_voxel_size_than_the_starts_are_said(straight, store, tmp_path, capsys):
    start = relabeled_package(read_package(straight / "model"), tmp_path / "m", preprocess=PreprocessConfig(2.0))
    finetune(options(store, tmp_path / "run", start=str(start.folder), steps=1))
    assert "the cases are prepared at 1 mm" in capsys.readouterr().err


def test_the_channels_are_those_of_the_start_in_every_preset(straight, store, tmp_path, monkeypatch):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path / "home"))
    name = import_model(straight / "model").info.name
    given = {"folders": (str(store),)}
    for start in (str(straight), str(straight / "model"), name):
        for preset in ("tiny", "small", "paper"):
            assert configured({**given, "start": start, "preset": preset}).channels == (4, 6, 8)
    assert configured({**given, "start": name, "channels": (4, 6, 10)}).channels == (4, 6, 10), "as it was asked for"
    assert configured({**given, "start": "not-there"}) == make_config(FinetuneConfig, {**given, "start": "not-there"})
    words = ["finetune", store, "--run", tmp_path / "run", "--from", straight, "--patch", 16, "--steps", 1]
    words += ["--learning-rate", 0, "--device", "cpu", "--threads", 1]
    assert main([str(word) for word in words]) == 0
    before, after = (load_network(read_package(run / "model")).state_dict() for run in (straight, tmp_path / "run"))
    kernels = [name for name, tensor in before.items() if tensor.ndim > 1]
    assert len(kernels) == 13
    for name in kernels:
        torch.testing.assert_close(after[name], before[name])


def test_a_start_of_other_channels_is_refused_with_its_own(straight, store, tmp_path):
    with pytest.raises(ConfigError, match=r"--channels 4 6 10: .* has the channels 4 6 8, .* give --channels 4 6 8"):
        finetune(options(store, tmp_path / "run", start=str(straight), steps=1, channels=(4, 6, 10)))
    finetune(options(store, tmp_path / "run", start=str(straight), steps=1))  # in the same run folder


def test_a_probe_trains_the_head_alone(straight, store, tmp_path):
    finetune(options(store, tmp_path / "run", start=str(straight), steps=2, linear_probe=True))
    before, after = last_weights(straight), last_weights(tmp_path / "run")
    start = load_network(read_package(straight / "model")).state_dict()
    for name, tensor in after.items():
        if name.startswith("head."):
            assert not torch.equal(tensor, start[name])
        elif "running" not in name and "batches" not in name:
            assert torch.equal(tensor, start[name]), name
    assert before.keys() == after.keys()


def test_a_splits_file_decides_who_trains(store, tmp_path):
    ids = [file.stem for file in sorted(store.glob("*.npy"))]
    (tmp_path / "splits.json").write_text(json.dumps({"pool": ids[:2], "validation": [ids[3]], "test": [ids[2]]}))
    finetune(options(store, tmp_path / "run", splits=str(tmp_path / "splits.json"), steps=1))
    cases = read_package(tmp_path / "run" / "model").info.training["cases"]
    assert cases == {"train": ids[:2], "validation": [ids[3]], "test": [ids[2]]}


def test_a_training_on_a_store_with_overwritten_voxels_does_not_start(store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    file = sorted((tmp_path / "store").glob("*.npy"))[1]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{file.stem}: its voxels were changed or damaged"):
        finetune(options(tmp_path / "store", tmp_path / "run", steps=1))


def test_nothing_to_learn_from_or_to_validate_on_is_refused(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no labeled case"):
        finetune(options(tmp_path / "empty", tmp_path / "run"))
    ids = [file.stem for file in sorted(store.glob("*.npy"))]
    (tmp_path / "splits.json").write_text(json.dumps({"train": ids}))
    with pytest.raises(InputError, match="no labeled case is left to validation"):
        finetune(options(store, tmp_path / "run2", splits=str(tmp_path / "splits.json")))


def test_a_run_folder_whose_name_is_too_long_for_the_id_of_its_model_is_refused_before_the_training(store, tmp_path):
    run = tmp_path / ("n" * 185)
    with pytest.raises(ConfigError, match="has 185 characters, and 184 are allowed; give a shorter one with --name"):
        finetune(options(store, run))
    assert not run.exists()


def test_the_mean_over_regions_leaves_out_what_no_case_has():
    assert mean_region_dice({"WT": 0.8, "TC": 0.4, "ET": float("nan")}) == pytest.approx(0.6)
    assert mean_region_dice({"ET": float("nan")}) == 0.0


def test_thirty_steps_lower_the_loss_and_beat_an_untrained_network(tmp_path):
    write_phantoms(tmp_path / "in", 4, seed=0, side=48)
    run = tmp_path / "run"
    given = {"folders": (str(tmp_path / "in"),), "run": str(run), "preset": "tiny"}
    finetune(make_config(FinetuneConfig, given))
    found = metrics(run)
    assert found[(30, "loss")] < 0.95 * found[(10, "loss")]
    finetune(
        make_config(FinetuneConfig, {**given, "run": str(tmp_path / "untrained"), "steps": 1, "learning_rate": 0.0})
    )
    untrained = metrics(tmp_path / "untrained")[(1, "validation Dice")]
    assert found[(30, "validation Dice")] > untrained + 0.05


def test_a_damaged_best_network_gives_way_to_the_last_one(straight, store, tmp_path):
    """As a kill between the last step and the package, and a bad sector, leave the run."""
    run = tmp_path / "run"
    shutil.copytree(straight, run, ignore=shutil.ignore_patterns("model", "status.json"))
    best = run / "checkpoints" / "best.pt"
    best.write_bytes(best.read_bytes()[:-100])
    finetune(options(store, run))
    network = load_network(read_package(run / "model")).state_dict()
    for name, tensor in last_weights(run).items():
        assert torch.equal(network[name], as_kept(tensor)), name
    warnings = [event["text"] for event in read_events(run / "events.jsonl") if event["kind"] == "warning"]
    assert "damaged" in warnings[-1]
    assert "the network of the last step takes its place" in warnings[-1]
