"""Several processes train as one: real torchrun processes on gloo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from voxmmsd.compute.processes import Processes
from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import view_run
from voxmmsd.runs.curves import read_curves
from voxmmsd.runs.events import read_events
from voxmmsd.training.blocks import BlockSampler
from voxmmsd.training.checkpoint import newest_checkpoint
from voxmmsd.training.patches import PatchRecipe, PatchSampler
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

TOGETHER = Path(__file__).with_name("together.py")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five prepared phantoms, one of them without T2."""
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 5, seed=0, side=32)
    next((folder / "in" / "phantom-000-001").glob("*-t2w.nii.gz")).unlink()
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def options(store, run, **changes):
    given = {
        "folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (4, 6, 8), "block": 16, "mask_size": 4,
        "mask_ratio": 0.5, "pairs": 64, "candidates": 4096, "steps": 12, "checkpoint_every": 1, "batch": 2,
        "preview_every": 100, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return make_config(PretrainConfig, {**given, **changes})


@contextmanager
def torchrun(*arguments, restarts=0, **options):
    """The launcher's process; neither it nor its workers outlive the block."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0", f"--max-restarts={restarts}", *map(str, arguments),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, encoding="utf-8", errors="replace", **options
    )
    launcher = psutil.Process(process.pid)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            for worker in [launcher, *launcher.children(recursive=True)]:  # the launcher first: it would start others
                worker.kill()
        process.communicate()


def finish(*arguments):
    """Run to the end, which must be a good one."""
    with torchrun(*arguments, stderr=subprocess.PIPE) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-3000:]


def flags(config, folder):
    """The configuration as a file of options."""
    file = folder / f"{Path(config.run).name}.json"
    file.write_text(json.dumps(config_to_record(config)))
    return ["-m", "voxmmsd", "pretrain", "--config", file]


def one_step(store, folder, mode, **changes):
    config = options(store, folder / "run", **changes)
    (folder / "options.json").write_text(json.dumps(config_to_record(config)))
    finish(TOGETHER, folder / "options.json", folder / "out.pt", mode)
    return torch.load(folder / "out.pt", weights_only=True)


def assert_same(one, two):
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    torch.testing.assert_close(one["center"], two["center"], rtol=1e-4, atol=1e-7)
    for ours, theirs in zip(one["gradients"], two["gradients"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_two_processes_have_the_loss_gradients_and_center_of_one_on_the_joint_batch(store, tmp_path):
    """With BatchNorm in evaluation mode; one case lacks a modality and pairs are scarce, so that the processes' own
    means would not do."""
    found = one_step(store, tmp_path, "eval", mask_ratio=0.8, candidates=512, pairs=256, seed=1)
    assert 0 < found["filled up"] < 1
    assert_same(found["together"], found["joint"])
    assert found["together"]["losses"]["restoration"] != pytest.approx(
        found["halves"]["losses"]["restoration"], rel=1e-4
    )


def test_in_training_two_processes_are_the_mean_of_two_alone(store, tmp_path):
    """BatchNorm sees each process's own batch then; all pairs are found and the cases whole, so that weights agree."""
    whole = [entry.id for entry in open_store(store) if all(entry.present)]
    (tmp_path / "splits.json").write_text(json.dumps({"train": whole}))
    found = one_step(store, tmp_path, "train", splits=str(tmp_path / "splits.json"), mask_ratio=0.2)
    assert found["filled up"] == 0
    assert_same(found["together"], found["halves"])


def test_two_processes_have_the_same_statistics_and_a_resumed_run_the_same_weights(store, tmp_path):
    """Else each would freeze statistics of its own, of which those of the first process are in the checkpoint."""
    config = make_config(
        FinetuneConfig,
        {"folders": (str(store),), "run": str(tmp_path / "run"), "preset": "tiny", "channels": (4, 6, 8), "patch": 16,
         "steps": 4, "freeze_batchnorm_after": 0.5, "checkpoint_every": 1, "keep_checkpoints": 9, "device": "cpu",
         "threads": 1},
    )  # fmt: skip
    (tmp_path / "options.json").write_text(json.dumps(config_to_record(config)))
    finish(TOGETHER.with_name("frozen_statistics.py"), tmp_path / "options.json", tmp_path)

    def differ(step):
        one, other = (torch.load(tmp_path / f"step-{step}-process-{n}.pt", weights_only=True) for n in range(2))
        return any(not torch.equal(one[name], other[name]) for name in one)

    assert not any(differ(step) for step in range(4))

    later = shutil.ignore_patterns("model", "status.json", "best.pt", *(f"step-*{step}.pt" for step in (2, 3, 4)))
    shutil.copytree(tmp_path / "run", tmp_path / "again", ignore=later)  # as a kill after the first step leaves it
    (tmp_path / "again.json").write_text(json.dumps(config_to_record(replace(config, run=str(tmp_path / "again")))))
    finish("-m", "voxmmsd", "finetune", "--config", tmp_path / "again.json")
    assert "continuing at step 1 of 4" in (tmp_path / "again" / "log.txt").read_text(encoding="utf-8")
    whole, again = (newest_checkpoint(tmp_path / run / "checkpoints")[0] for run in ("run", "again"))
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, again["network"][name]), name


def test_processes_share_the_cases_without_overlap_or_loss(store):
    entries = open_store(store)
    cpu = torch.device("cpu")
    joint = BlockSampler(entries, 16, 4, 7, cpu)
    parts = [BlockSampler(entries, 16, 2, 7, cpu, Processes(rank, 2)) for rank in (0, 1)]
    seen = []
    for step in range(5):
        (first, corners), (second, more) = (sampler.places(step) for sampler in parts)
        seen += [*first, *second]
        cases, all_corners = joint.places(step)
        assert [*first, *second] == cases.tolist()
        assert (
            torch.from_numpy(all_corners) == torch.cat([torch.from_numpy(corners), torch.from_numpy(more)], 1)
        ).all()
    assert sorted(seen) == sorted([*range(5)] * 4), "20 places are four rounds of five cases"

    labeled = [entry for entry in entries if entry.has_label]
    recipe = {"size": 16, "foreground": 0.5, "modality_dropout": 0.5, "augment": False}
    joint = PatchSampler(labeled, PatchRecipe(batch=4, **recipe), 7)
    parts = [PatchSampler(labeled, PatchRecipe(batch=2, **recipe), 7, Processes(rank, 2)) for rank in (0, 1)]
    for step in range(3):
        whole, halves = joint.batch(step), [sampler.batch(step) for sampler in parts]
        for number in (0, 1):
            assert torch.equal(whole[number], torch.cat([half[number] for half in halves]))


def changed_program(folder, *lines):
    """The command line with a change to the pre-training."""
    imports = (
        "import atexit, os, sys, time",
        "from voxmmsd.cli import main",
        "from voxmmsd.training.pretrain import PreTraining",
    )
    program = folder / "changed.py"
    program.write_text("\n".join([*imports, *lines, "sys.exit(main(sys.argv[1:]))"]))
    return program


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    """An undisturbed run of two processes, each of which names its threads when it ends."""
    folder = tmp_path_factory.mktemp("two")
    program = changed_program(
        folder,
        "threads = lambda: [open(f'/proc/self/task/{each}/comm').read() for each in os.listdir('/proc/self/task')]",
        f"name = {str(folder)!r} + '/threads-' + os.environ['RANK']",
        "atexit.register(lambda: open(name, 'w').writelines(threads()))",
    )
    finish(program, *flags(options(store, folder / "run"), folder)[2:])
    return folder / "run"


def test_two_processes_write_one_run_and_one_model(straight):
    run = view_run(straight)
    assert (run.state, run.step, len(run.starts)) == ("finished", 12, 1)
    assert (straight / "model" / "model.json").is_file()
    assert (straight / "log.txt").read_text(encoding="utf-8").count("to pre-train on") == 1
    assert [step for step, _ in read_curves(straight)["loss"]] == [10, 12]


@contextmanager
def slow_run(store, folder, restarts=0):
    """A run that is met alive: its checkpoints are many and its steps wait."""
    program = changed_program(
        folder,
        "step = PreTraining.train_step",
        "PreTraining.train_step = lambda self: (time.sleep(0.4), step(self))[1]",
    )
    config = options(store, folder / "run")
    with torchrun(program, *flags(config, folder)[2:], restarts=restarts, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while (newest_checkpoint(folder / "run" / "checkpoints")[0] or {"step": 0})["step"] < 3:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        yield process


def test_no_thread_of_the_connection_outlives_the_training(straight):
    """One that lets go of a tensor while the interpreter ends aborts a process whose work is done."""
    for rank in (0, 1):
        threads = (straight.parent / f"threads-{rank}").read_text().split()
        assert threads
        assert not [name for name in threads if "gloo" in name]


def assert_same_weights(one, two):
    (first, _), (second, _) = newest_checkpoint(one / "checkpoints"), newest_checkpoint(two / "checkpoints")
    assert first["step"] == second["step"]
    for name, tensor in first["method"].items():
        assert torch.equal(tensor, second["method"][name]), name


@pytest.mark.long
@pytest.mark.parametrize("victim", ["the writer", "another"])
def test_a_killed_worker_is_started_again_and_the_run_ends_with_the_same_weights(victim, store, straight, tmp_path):
    with slow_run(store, tmp_path, restarts=2) as process:
        workers = psutil.Process(process.pid).children()
        writer = view_run(tmp_path / "run").pid
        next(worker for worker in workers if (worker.pid == writer) == (victim == "the writer")).kill()
        assert process.wait(timeout=300) == 0
    run = view_run(tmp_path / "run")
    assert (run.state, run.step, len(run.starts)) == ("finished", 12, 2)
    assert_same_weights(straight, tmp_path / "run")


@pytest.mark.long
def test_a_loss_that_is_not_finite_in_one_process_skips_the_step_in_all(store, tmp_path):
    """Its gradient is finite, so that nothing but the loss itself can tell; a process that goes on alone would end with
    other weights than its like."""
    program = changed_program(
        tmp_path,
        "real = PreTraining.losses",
        "def losses(self, part):",
        "    spoiled = self.step == 5 and self.processes.rank == 1",
        "    return {name: value + float('inf') if spoiled else value",
        "            for name, value in real(self, part).items()}",
        "PreTraining.losses = losses",
    )
    finish(program, *flags(options(store, tmp_path / "run"), tmp_path)[2:])
    warned = [event["text"] for event in read_events(tmp_path / "run" / "events.jsonl") if event["kind"] == "warning"]
    assert ["not finite at step 5: skipped" in text for text in warned] == [True]


@pytest.mark.long
def test_a_clusters_warning_pauses_all_processes_and_the_next_start_continues(store, straight, tmp_path):
    with slow_run(store, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
    assert view_run(tmp_path / "run").state == "paused"
    finish(*flags(options(store, tmp_path / "run"), tmp_path))
    assert_same_weights(straight, tmp_path / "run")
