import json
import shutil
from dataclasses import replace

import pytest
import torch
from toy_models import as_kept

from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import Canceled, InputError, ModelError, RunError
from voxmmsd.inference.engines import open_engine
from voxmmsd.models import registry
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, Run, RunState, read_status, write_status
from voxmmsd.runs.events import read_events
from voxmmsd.training.blocks import BlockSampler
from voxmmsd.training.checkpoint import load_state, save_state
from voxmmsd.training.finetune import finetune
from voxmmsd.training.pretrain import LOOKED_AT, pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four prepared phantoms of 32 voxels a side, one of them without T2."""
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 4, seed=0, side=32)
    next((folder / "in" / "phantom-000-001").glob("*-t2w.nii.gz")).unlink()
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def options(store, run, **changes):
    given = {
        "folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (4, 6, 8), "block": 16, "mask_size": 4,
        "mask_ratio": 0.5, "pairs": 64, "candidates": 4096, "steps": 8, "checkpoint_every": 2, "device": "cpu",
        "threads": 1,
    }  # fmt: skip
    return make_config(PretrainConfig, {**given, **changes})


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("straight") / "run"
    pretrain(options(store, run))
    return run


def last_state(run):
    return load_state(sorted((run / "checkpoints").glob("step-*.pt"))[-1])


def metrics(run):
    return {(e["step"], e["name"]): e["value"] for e in read_events(run / "events.jsonl") if e["kind"] == "metric"}


def assert_same_run(one, two):
    for name, tensor in last_state(one)["method"].items():
        assert torch.equal(tensor, last_state(two)["method"][name]), name
    assert metrics(one) == metrics(two)


def test_a_run_leaves_a_start_for_fine_tuning_curves_and_a_picture(straight):
    package = read_package(straight / "model")
    assert not package.info.segments
    assert len(package.info.training["cases"]["unlabelled"]) == 4
    assert "Pre-trained on unlabeled scans" in (straight / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert {"loss", "restoration", "distillation", "teacher entropy", "embedding spread", "learning_rate"} <= {
        name for _, name in metrics(straight)
    }
    pictures = [file.name for file in sorted((straight / "previews").iterdir())]
    assert pictures == ["step-00000000.png", "step-00000008.png"]
    looked = {step for step, name in metrics(straight) if name == "training restoration error"}
    assert looked == {0, 8}
    assert read_status(straight).state == "finished"


def test_a_paused_run_continues_to_the_same_student_teacher_center_and_metrics(straight, store, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 5 else None)
    with pytest.raises(Canceled, match="paused"):
        pretrain(options(store, run))
    monkeypatch.undo()
    pretrain(options(store, run))
    assert_same_run(straight, run)


def test_fine_tuning_takes_the_whole_network_and_starts_its_head_anew(straight, store, tmp_path, capsys):
    given = {"folders": (str(store),), "run": str(tmp_path / "run"), "preset": "tiny", "channels": (4, 6, 8),
             "patch": 16, "steps": 1, "start": str(straight), "learning_rate": 0.0}  # fmt: skip
    finetune(make_config(FinetuneConfig, given))
    said = capsys.readouterr().err
    assert "fresh: head.weight, head.bias" in said
    assert "not used" not in said
    student = {k: v for k, v in last_state(straight)["method"].items() if k.startswith("unet.") and v.ndim > 1}
    tuned = load_state(tmp_path / "run" / "checkpoints" / "best.pt")["network"]
    assert len(student) == 12
    for name, tensor in student.items():
        assert torch.equal(tuned[name], as_kept(tensor)), name
    assert read_package(tmp_path / "run" / "model").info.parent == read_package(straight / "model").info.id


def test_a_pre_trained_network_is_refused_where_one_that_segments_is_needed(straight):
    package = read_package(straight / "model")
    with pytest.raises(ModelError, match="cannot segment yet"):
        open_engine(package)
    with pytest.raises(ModelError, match="cannot segment yet"):
        registry.accept(package)


def test_validation_and_test_patients_of_a_splits_file_are_never_seen(store, tmp_path):
    ids = [file.stem for file in sorted(store.glob("*.npy"))]
    (tmp_path / "splits.json").write_text(json.dumps({"pool": ids[:1], "validation": [ids[1]], "unlabelled": ids[2:3]}))
    pretrain(options(store, tmp_path / "run", splits=str(tmp_path / "splits.json"), steps=1))
    package = read_package(tmp_path / "run" / "model")
    assert package.info.training["cases"]["unlabelled"] == [ids[0], ids[2]]
    assert (1, "validation restoration error") in metrics(tmp_path / "run")  # looked at, not learned from
    (tmp_path / "splits.json").write_text(json.dumps({"test": ids}))
    with pytest.raises(InputError, match="no case is left to pre-train on"):
        pretrain(options(store, tmp_path / "run2", splits=str(tmp_path / "splits.json"), steps=1))


def test_the_restoration_that_is_looked_at_is_that_of_the_held_out_cases(store, tmp_path):
    """The error of each block's mean is a figure of the blocks alone."""
    entries = open_store(store)
    parts = {"train": [entry.id for entry in entries[1:]], "validation": [entries[0].id]}
    (tmp_path / "splits.json").write_text(json.dumps(parts))
    pretrain(options(store, tmp_path / "run", splits=str(tmp_path / "splits.json"), steps=1))
    held, errors = BlockSampler(entries[:1], 16, 2, 0, torch.device("cpu")), []
    for number in range(LOOKED_AT):
        blocks = held.batch(number)
        distance = (blocks.image - blocks.image.mean(dim=(2, 3, 4), keepdim=True)).abs().mean(dim=(2, 3, 4))
        errors.append(float(distance[blocks.informative].mean()))
    found = metrics(tmp_path / "run")
    assert found[(1, "validation error of the mean")] == pytest.approx(sum(errors) / LOOKED_AT, rel=1e-5)
    assert found[(0, "validation error of the mean")] == found[(1, "validation error of the mean")]


def test_another_method_is_a_name(store, tmp_path):
    for method in ("masked-autoencoding", "voxel-contrast"):
        run = tmp_path / method
        pretrain(options(store, run, method=method, steps=2))
        assert read_package(run / "model").info.training["options"]["method"] == method


def test_cases_that_come_after_the_start_do_not_change_a_run(store, tmp_path, monkeypatch, capsys):
    files = sorted(store.iterdir())
    late = [file for file in files if "003" in file.name]
    (tmp_path / "store").mkdir()
    for file in set(files) - set(late):
        shutil.copy(file, tmp_path / "store")
    pretrain(options(tmp_path / "store", tmp_path / "straight"))
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 5 else None)
    with pytest.raises(Canceled):
        pretrain(options(tmp_path / "store", tmp_path / "run"))
    monkeypatch.undo()
    for file in late:
        shutil.copy(file, tmp_path / "store")
    pretrain(options(tmp_path / "store", tmp_path / "run"))
    assert "1 cases came after the run's start and are left out" in capsys.readouterr().err
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def test_a_run_of_two_processes_is_not_continued_by_one(straight, store, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*.pt"))[-1]
    save_state(newest, {**load_state(newest), "processes": 2})
    status = read_status(tmp_path / "run")
    write_status(tmp_path / "run", replace(status, state=RunState.PAUSED))
    with pytest.raises(RunError, match="was started with 2 processes, now there are 1"):
        pretrain(options(store, tmp_path / "run"))
