"""The loop under hard conditions: no memory, losses that are not finite, a full disk. Run by both trainings."""

import shutil
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import Canceled, RunError
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, Run, view_run
from voxmmsd.runs.curves import read_curves
from voxmmsd.runs.events import read_events
from voxmmsd.training.checkpoint import load_state, newest_checkpoint, save_state
from voxmmsd.training.finetune import FineTuning, finetune
from voxmmsd.training.pretrain import PreTraining, pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

TRAININGS = {"finetune": (FineTuning, finetune, FinetuneConfig), "pretrain": (PreTraining, pretrain, PretrainConfig)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 4, seed=0, side=32)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def options(verb, store, run, **changes):
    own = {"patch": 16, "validate_every": 100} if verb == "finetune" else {
        "block": 16, "mask_size": 4, "mask_ratio": 0.5, "pairs": 64, "candidates": 4096,
    }  # fmt: skip
    given = {
        "folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (4, 6, 8), "steps": 6,
        "checkpoint_every": 2, "device": "cpu", "threads": 1, **own,
    }  # fmt: skip
    return make_config(TRAININGS[verb][2], {**given, **changes})


def train(verb, store, run, **changes):
    return TRAININGS[verb][1](options(verb, store, run, **changes))


def trained(run):
    state, _ = newest_checkpoint(run / "checkpoints")
    return state["network"] if "network" in state else state["method"]


def warnings_of(run):
    return [event["text"] for event in read_events(run / "events.jsonl") if event["kind"] == "warning"]


def assert_same_weights(one, two):
    for name, tensor in trained(one).items():
        assert torch.equal(tensor, trained(two)[name]), name


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    """Uninterrupted runs by verb."""
    folder = tmp_path_factory.mktemp("straight")
    for verb in TRAININGS:
        train(verb, store, folder / verb)
    return folder


def out_of_memory(monkeypatch, verb, when):
    """A GPU's fault, which cannot happen here, in the backward half of the steps where ``when(training)``."""
    kind = TRAININGS[verb][0]
    real = kind.losses

    def losses(self, part):
        found = real(self, part)
        if when(self):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return found

    monkeypatch.setattr(kind, "losses", losses)


def recomputes(training):
    return any(getattr(module, "recompute", False) for module in training.trained.modules())


@pytest.mark.parametrize("verb", TRAININGS)
def test_out_of_memory_activations_are_recomputed_and_every_number_stays_the_same(
    verb, store, straight, tmp_path, monkeypatch
):
    out_of_memory(monkeypatch, verb, lambda t: t.step >= 3 and not recomputes(t))
    train(verb, store, tmp_path / "run")
    assert_same_weights(straight / verb, tmp_path / "run")
    assert read_curves(straight / verb) == read_curves(tmp_path / "run")
    (warning,) = warnings_of(tmp_path / "run")
    assert "out of memory at step 3" in warning
    assert "results stay the same" in warning


@pytest.mark.parametrize("verb", TRAININGS)
def test_still_out_of_memory_the_batch_is_computed_in_parts_and_a_resumed_run_knows(verb, store, tmp_path, monkeypatch):
    out_of_memory(monkeypatch, verb, lambda t: t.memory.parts == 1)
    train(verb, store, tmp_path / "run")
    assert ["recomputed in the" in text for text in warnings_of(tmp_path / "run")] == [True, False]
    assert "computed in 2 parts" in warnings_of(tmp_path / "run")[1]
    state, _ = newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert (state["parts"], state["recompute"]) == (2, True)


@pytest.mark.parametrize("verb", TRAININGS)
def test_out_of_memory_to_the_end_the_run_stops_and_says_what_to_change(verb, store, tmp_path, monkeypatch):
    out_of_memory(monkeypatch, verb, lambda t: t.step >= 3)
    with pytest.raises(RunError, match=r"even with one case at a time.*smaller --patch or --block"):
        train(verb, store, tmp_path / "run")
    run = view_run(tmp_path / "run")
    assert (run.state, "out of memory" in run.error) == ("failed", True)
    assert newest_checkpoint(tmp_path / "run" / "checkpoints")[0]["step"] == 2


def test_the_gradient_of_parts_is_the_gradient_of_the_batch_but_for_batchnorm(store, tmp_path, monkeypatch):
    """With BatchNorm in evaluation mode nothing else is left that could differ in pre-training by masks alone."""
    monkeypatch.setattr(torch.nn.Module, "train", lambda self, mode=True: self)
    from voxmmsd.runs import NullRun

    config = options("pretrain", store, tmp_path / "run", method="masked-autoencoding", mask_ratio=0.0)
    monkeypatch.setattr("voxmmsd.views.siamese.change_pretrain_intensity", lambda pieces, *others: pieces)
    from voxmmsd.training.cases import unlabeled_entries

    entries, _ = unlabeled_entries(config, NullRun(tmp_path))
    found = []
    for parts in (1, 2):
        training = PreTraining(config, NullRun(tmp_path), entries)
        for module in training.method.modules():
            module.training = False
        training.memory.parts = parts
        training.train_step()
        found.append([p.grad for p in training.method.parameters()])
    for whole, halves in zip(*found, strict=True):
        torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("verb", TRAININGS)
@pytest.mark.parametrize("poison", ["loss", "gradient", "everything"])
def test_a_step_without_a_finite_loss_is_skipped_said_and_leaves_no_trace(verb, poison, store, tmp_path, monkeypatch):
    kind = TRAININGS[verb][0]
    real, before = kind.losses, {}

    def losses(self, part):
        if self.step != 3:
            return real(self, part)
        before.update({name: tensor.clone() for name, tensor in self.trained.named_parameters()})
        before.update({name: tensor.clone() for name, tensor in self.trained.named_buffers()})
        if poison == "everything":
            return {name: value * float("nan") for name, value in real(self, part).items()}
        values = dict(real(self, part))
        scale = float("inf") if poison == "loss" else 1.0
        values["loss"] = values["loss"] * scale
        if poison == "gradient":
            values["loss"].register_hook(lambda gradient: gradient * float("nan"))
        return values

    monkeypatch.setattr(kind, "losses", losses)
    real_save = kind.save

    def save(self):
        if self.step == 4:
            for name, tensor in (*self.trained.named_parameters(), *self.trained.named_buffers()):
                if not name.startswith(("teacher", "center")):  # these follow the student, which stands still
                    assert torch.equal(tensor, before[name]), name
        real_save(self)

    monkeypatch.setattr(kind, "save", save)
    train(verb, store, tmp_path / "run")
    assert before
    assert any("not finite at step 3: skipped" in text for text in warnings_of(tmp_path / "run"))
    assert all(tensor.isfinite().all() for tensor in trained(tmp_path / "run").values())
    assert len(read_curves(tmp_path / "run")["loss"]) == 1


@pytest.mark.parametrize("verb", TRAININGS)
def test_a_training_beyond_hope_stops_with_its_last_good_checkpoint(verb, store, tmp_path, monkeypatch):
    kind = TRAININGS[verb][0]
    real = kind.losses
    monkeypatch.setattr(
        kind, "losses", lambda self, part: {k: v * (float("nan") if self.step >= 5 else 1.0)
                                            for k, v in real(self, part).items()}
    )  # fmt: skip
    with pytest.raises(RunError, match="10 steps in a row without a finite loss"):
        train(verb, store, tmp_path / "run", steps=40)
    assert view_run(tmp_path / "run").state == "failed"
    assert all(tensor.isfinite().all() for tensor in trained(tmp_path / "run").values())


def test_checkpoints_to_keep_for_good_are_kept(store, tmp_path):
    train("pretrain", store, tmp_path / "run", steps=8, checkpoint_every=1, keep_checkpoints=2, keep_checkpoint_every=3)
    kept = [int(file.stem[5:]) for file in sorted((tmp_path / "run" / "checkpoints").glob("step-*.pt"))]
    assert kept == [3, 6, 7, 8]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of a size that can be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False).returncode:
        pytest.skip("no right to mount a tmpfs here")
    yield folder, lambda size: subprocess.run([mount, "-o", f"remount,size={size}", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_the_run_in_good_order_and_with_room_it_continues(store, straight, small_disk, tmp_path):
    folder, resize = small_disk
    one = max(file.stat().st_size for file in (straight / "finetune" / "checkpoints").glob("step-*.pt"))
    resize(f"{2 * one // 1024 + 100}k")  # best, one checkpoint, and not quite the next
    with pytest.raises(RunError, match="the disk is full; earlier checkpoints are intact"):
        train("finetune", store, folder / "run")
    run = view_run(folder / "run")
    assert run.state == "failed"
    assert "the disk is full" in run.error
    state, problems = newest_checkpoint(folder / "run" / "checkpoints")
    assert problems == []
    assert state["step"] in (2, 4)
    assert not list((folder / "run" / "checkpoints").glob(".*"))
    resize("64m")
    train("finetune", store, folder / "run")
    assert_same_weights(straight / "finetune", folder / "run")


def test_a_disk_that_others_have_filled_stops_the_run_in_good_order_too(
    store, straight, small_disk, tmp_path, monkeypatch
):
    folder, _ = small_disk
    kind = TRAININGS["pretrain"][0]
    real, filler = kind.losses, folder / "of others"

    def losses(self, part):
        if self.step == 5:
            with suppress(OSError), filler.open("wb", buffering=0) as stream:
                while stream.write(bytes(1 << 12)):
                    pass
        return real(self, part)

    monkeypatch.setattr(kind, "losses", losses)
    with pytest.raises(RunError, match="the disk is full"):
        train("pretrain", store, folder / "run")
    monkeypatch.undo()
    run = view_run(folder / "run")
    assert (run.state, "the disk is full" in run.error) == ("failed", True)
    assert newest_checkpoint(folder / "run" / "checkpoints")[0]["step"] == 4
    filler.unlink()
    train("pretrain", store, folder / "run")
    assert_same_weights(straight / "pretrain", folder / "run")
    assert read_curves(straight / "pretrain") == read_curves(folder / "run")


@pytest.mark.parametrize("verb", TRAININGS)
def test_a_run_whose_checkpoints_have_the_former_name_of_the_learning_rates_factor_continues(
    verb, store, straight, tmp_path, monkeypatch
):
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step >= 3 else None)
    with pytest.raises(Canceled, match="paused"):
        train(verb, store, tmp_path / "run")
    monkeypatch.undo()
    file = max((tmp_path / "run" / "checkpoints").glob("step-*.pt"))
    state = load_state(file)
    for group in state["optimizer"]["param_groups"]:
        group["pace"] = group.pop("lr_scale")
    save_state(file, state)

    train(verb, store, tmp_path / "run")

    assert_same_weights(straight / verb, tmp_path / "run")


def test_a_run_that_is_paused_again_before_its_first_step_is_as_far_as_it_was(store, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step >= 3 else None)
    for _ in range(2):
        with pytest.raises(Canceled, match="paused"):
            train("pretrain", store, tmp_path / "run")
        assert view_run(tmp_path / "run").line() == "paused; step 3 of 6"


def test_memory_that_really_ends_is_recognized_on_the_cpu(tmp_path):
    code = (
        "import resource, torch; from voxmmsd.compute.devices import is_out_of_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))\n"
        "try: torch.empty(1 << 40)\n"
        "except Exception as error: print(is_out_of_memory(error), is_out_of_memory(RuntimeError('shape mismatch')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=True
    )
    assert done.stdout.strip() == "True False"


def test_every_option_of_the_loop_is_an_option_of_every_training(store, tmp_path):
    for verb in TRAININGS:
        record = config_to_record(options(verb, store, tmp_path))
        ours = {
            "run",
            "steps",
            "batch",
            "checkpoint_every",
            "keep_checkpoints",
            "keep_checkpoint_every",
            "seed",
            "device",
        }
        assert ours <= set(record)


def test_the_best_network_survives_a_kill_while_a_better_one_is_written(tmp_path):
    """One file holds state and checksum, so that there is no moment in which they do not fit."""
    from voxmmsd.training.checkpoint import save_state

    save_state(tmp_path / "best.pt", {"step": 1})
    (tmp_path / f".best.{99}.tmp.pt").write_bytes(b"half a file")
    assert load_state(tmp_path / "best.pt") == {"step": 1}
