"""The training loop: steps, logging, checkpoints, exact resume, stop requests, and out-of-memory handling."""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from voxmmsd.compute.devices import Precision, choose_device, is_out_of_memory, keep_freed_memory
from voxmmsd.compute.processes import Processes, agreed, by_torchrun, joined, mean_of_processes, mean_of_values
from voxmmsd.config import SAME_RESULT, config_to_record, options_that
from voxmmsd.errors import Cancelled, ConfigError, RunError
from voxmmsd.models.package import ModelPackage
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.runs import ENDS, Run, is_finished, open_run, refuse_other_options, resolve_run, stand_by
from voxmmsd.terminal import progress_bar
from voxmmsd.training.checkpoint import newest_checkpoint, save_checkpoint
from voxmmsd.training.optimization import KeptBuffers, optimize

LOG_EVERY = 10
SKIPS_IN_A_ROW = 10  # steps without a finite loss after which a training is beyond hope


class LoopConfig(Protocol):
    """Options common to all trainings."""

    @property
    def run(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def keep(self) -> int: ...
    @property
    def keep_every(self) -> int: ...
    @property
    def sync_batchnorm(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...


ConfigT = TypeVar("ConfigT", bound=LoopConfig)


def run_training(config: ConfigT, make: Callable[[ConfigT, Run, Processes], TrainingLoop], verb: str) -> Path:
    """Run or resume the training in ``config.run``; returns the folder of the resulting package.

    Raises:
        VoxMMSDError: cases, options or the run folder cannot be used.
        Cancelled: the run was asked to pause or cancel; its last checkpoint is kept.
    """
    folder = resolve_run(config.run)
    record, may_differ = config_to_record(config), options_that(config, SAME_RESULT)
    if is_finished(folder):
        refuse_other_options(folder, verb, record, may_differ)
        print(f"{folder}: is finished; its model is {folder / 'model'}", file=sys.stderr)
        return folder / "model"
    processes = by_torchrun()
    device = choose_device(config.device, processes.local_rank)
    opened = (
        open_run(folder, verb, record, config.steps, may_differ=may_differ)
        if processes.is_first
        else stand_by(folder, config.steps)
    )
    with joined(processes, device), opened as run:
        training = make(config, run, processes)
        training.resume()
        training.train()
        if processes.is_first:
            run.say(f"model: {training.pack().folder}")
    return folder / "model"


class TrainingLoop(ABC):
    """The training loop. Subclasses provide the ``trained`` module, its ``optimizer``, the ``losses`` of a step, what
    to do ``after_step``, and their state."""

    verb: str
    trained: nn.Module
    optimizer: Optimizer

    def __init__(self, config: LoopConfig, run: Run, processes: Processes | None = None) -> None:
        self._options, self.run = config, run
        self.processes = processes or Processes()
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.device = choose_device(config.device, self.processes.local_rank)
        self.precision = Precision(self.device)
        if config.sync_batchnorm and self.device.type != "cuda":
            raise ConfigError(
                f"--sync-batchnorm: torch has it on CUDA only, this is {self.device.type}", "leave it out"
            )
        if self.device.type == "cpu":
            keep_freed_memory()
        self.step = 0
        self.parts = 1  # in which a step's batch is computed, one after the other
        self._skips_in_a_row = 0
        self._pending: list[Mapping[str, Tensor | float]] = []
        self._parallel: DistributedDataParallel | None = None

    @abstractmethod
    def losses(self, part: int) -> Mapping[str, Tensor]:
        """Scalars of part ``part`` of ``self.parts`` of the batch of step ``self.step``; ``loss`` has a graph.

        Random draws are functions of the seed, the step, the part and the process only.
        """

    @abstractmethod
    def rates(self, step: int) -> dict[str, float]:
        """Scheduled values of a step, used and logged: ``learning_rate`` and, if it changes, ``weight_decay``."""

    @abstractmethod
    def after_step(self, is_last: bool) -> None:
        """Periodic work after ``self.step`` steps, such as validation. Called in the first process only."""

    def after_update(self) -> None:  # noqa: B027 - most trainings have nothing to do here
        """Called after each optimizer step, for example to update a teacher."""

    def warnings(self, means: dict[str, float]) -> list[str]:
        """Warnings about the training, given the means just logged."""
        return []

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """State needed for exact resume, in addition to that of the loop."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the result of ``state``."""

    @abstractmethod
    def pack(self) -> ModelPackage:
        """Write the trained network as the model package of the run."""

    def train(self) -> None:
        """Train from the current step to the last, with validation and checkpoints."""
        steps, first = self._options.steps, self.processes.is_first
        self.run.progress(self.step, "training")
        quiet = {} if first else {"disable": True}
        try:
            with progress_bar(total=steps, initial=self.step, desc=self.verb, unit="step", **quiet) as bar:
                while self.step < steps:
                    self._stop_if_asked()
                    self._pending.append(self.train_step())
                    self.step += 1
                    self.run.progress(self.step, "training")
                    bar.update()
                    is_last = self.step == steps
                    if self.step % LOG_EVERY == 0 or is_last:
                        bar.set_postfix(loss=f"{self._log()['loss']:.3f}")
                    if first:
                        self.after_step(is_last)
                    if self.step % self._options.checkpoint_every == 0 or is_last:
                        self.save()
        finally:
            self._parallel = None  # the processes part when it is gone

    def train_step(self) -> dict[str, Tensor]:
        """Run step ``self.step``; returns its scalars, on the device. If memory runs out, repeat it with less."""
        kept = KeptBuffers(self.trained)
        while True:
            try:
                return self._attempt(kept)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                problem = " ".join(str(error).split())[:200]
            # Outside the handler, whose traceback would hold on to the memory.
            kept.undo()
            self.optimizer.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._make_room(problem)

    def _attempt(self, kept: KeptBuffers) -> dict[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        found: list[dict[str, Tensor]] = []
        for part in range(self.parts):
            # Dropout draws from torch's global generator: seeding it by step makes resuming exact.
            torch.manual_seed(self.draw_seed(0xD0, part))
            values = self._lossy(part)
            self.precision.scaler.scale(values["loss"] / self.parts).backward()
            found.append({name: value.detach() for name, value in values.items()})
        means = {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}
        rates = self.rates(self.step)
        finite = optimize(
            mean_of_processes(means["loss"]),  # of all, so that all do the step or none
            self.trained,
            self.optimizer,
            self.precision,
            rates["learning_rate"],
            rates.get("weight_decay"),
        )
        kept.undo_unless(finite)
        self.after_update()
        return {**means, "skipped": (~finite).float()}

    def _lossy(self, part: int) -> Mapping[str, Tensor]:
        if not self.processes.are_several:
            return self.losses(part)
        if self._parallel is None:
            # Each process keeps its own BatchNorm statistics, the first one's are saved; unless they are to be joint.
            if self._options.sync_batchnorm:
                nn.SyncBatchNorm.convert_sync_batchnorm(self.trained)
            with warnings.catch_warnings():  # of a successor of the argument that torch before 2.13 does not know
                warnings.simplefilter("ignore", FutureWarning)
                self._parallel = DistributedDataParallel(_Lossy(self), broadcast_buffers=False)
            # 1^3 kernels in channels-last have no one layout; it costs a copy of a few kilobytes.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return self._parallel(part)

    def _make_room(self, problem: str) -> None:
        """Reduce memory use by one step: first without changing results, then with the least change, then stop.

        Activation checkpointing gives identical numbers in a third more time. A batch in parts gives the same gradient,
        except that BatchNorm uses the statistics of each part.

        Raises:
            RunError: no further reduction is possible.
        """
        unets = [module for module in self.trained.modules() if isinstance(module, UNet3d)]
        if self.processes.are_several:
            raise RunError(
                f"out of memory at step {self.step} in process {self.processes.rank} ({problem}): several processes "
                "cannot change their batch alone",
                "call with a smaller --batch or network",
            )
        if not all(unet.recompute for unet in unets):
            for unet in unets:
                unet.recompute = True
            self.run.warn(
                f"out of memory at step {self.step} ({problem}): from now on activations are computed again in the "
                "backward pass instead of kept; results stay the same, steps take about a third longer"
            )
        elif self.parts < self._options.batch:
            self.parts = next(n for n in range(self.parts + 1, self._options.batch + 1) if self._options.batch % n == 0)
            self.run.warn(
                f"out of memory at step {self.step} ({problem}): from now on each batch of {self._options.batch} is "
                f"computed in {self.parts} parts whose gradients are added up; BatchNorm sees one part at a time"
            )
        else:
            raise RunError(
                f"{self.run.folder}: out of memory at step {self.step} even with one case at a time ({problem})",
                "use a smaller --patch or --block, fewer --channels, or a machine with more memory",
            )

    def draw_seed(self, purpose: int, *numbers: int) -> int:
        """A seed for the step, the process and a purpose, derived from the seed of the run."""
        entropy = [self._options.seed, purpose, self.step, *numbers]
        if self.processes.rank:
            entropy.append(self.processes.rank)
        return int(np.random.default_rng(entropy).integers(2**62))

    def save(self) -> None:
        """Write a checkpoint for exact resume."""
        if not self.processes.is_first:
            return
        state = {
            "step": self.step,
            "processes": self.processes.size,
            "parts": self.parts,
            "recompute": any(module.recompute for module in self.trained.modules() if isinstance(module, UNet3d)),
            "skips_in_a_row": self._skips_in_a_row,
            "scaler": self.precision.scaler.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "pending": [_numbers(values) for values in self._pending],
            **self.state(),
        }
        folder = self.run.folder / "checkpoints"
        save_checkpoint(folder, self.step, state, self._options.keep, self._options.keep_every)

    def resume(self) -> None:
        """Restore the newest intact checkpoint, if there is one."""
        state, problems = newest_checkpoint(self.run.folder / "checkpoints")
        for problem in problems:
            self.run.warn(f"{problem}; going back to an earlier one")
        mine = state["step"] if state else 0
        if mine != agreed(mine, self.processes):
            raise RunError(
                f"{self.run.folder}: process {self.processes.rank} finds another newest checkpoint than the first one",
                "put the run folder on a disk that all hosts share",
            )
        if state is None:
            return
        if state["processes"] != self.processes.size:
            raise RunError(
                f"{self.run.folder}: was started with {state['processes']} processes, now there are "
                f"{self.processes.size}",
                "start as many, by torchrun, to continue it",
            )
        if state["scaler"] and self.precision.scaler.is_enabled():  # else it goes on in another precision
            self.precision.scaler.load_state_dict(state["scaler"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.parts, self._pending = state["step"], state["parts"], list(state["pending"])
        self._skips_in_a_row = state["skips_in_a_row"]
        for module in self.trained.modules():
            if isinstance(module, UNet3d):
                module.recompute = state["recompute"]
        self.load_state(state)
        self.run.say(f"continuing at step {self.step} of {self._options.steps}")

    def _log(self) -> dict[str, float]:
        """Write means since the last log as metrics; the only place where the loop synchronizes with the device."""
        values = [_numbers(pending) for pending in self._pending]
        self._pending.clear()
        skipped = [bool(value.pop("skipped")) for value in values]
        self._judge_skips(skipped)
        good = [value for value, skip in zip(values, skipped, strict=True) if not skip] or values
        means = {name: sum(each[name] for each in good) / len(good) for name in good[0]}
        means = mean_of_values(means, self.processes)
        for name, value in {**means, **self.rates(self.step - 1)}.items():
            self.run.metric(self.step, name, value)
        for warning in self.warnings(means):
            self.run.warn(warning)
        total, left = self._options.steps, self.run.seconds_left
        self.run.events.write("progress", step=self.step, total=total, seconds_left=left)
        return means

    def _judge_skips(self, skipped: list[bool]) -> None:
        """Report which of the last steps were skipped.

        Raises:
            RunError: too many in a row; they did not change the weights, so the last checkpoint is valid.
        """
        steps = [self.step - len(skipped) + number for number, skip in enumerate(skipped) if skip]
        if steps:
            self.run.warn(f"the loss or a gradient was not finite at step {', '.join(map(str, steps))}: skipped")
        for skip in skipped:
            self._skips_in_a_row = self._skips_in_a_row + 1 if skip else 0
            if self._skips_in_a_row >= SKIPS_IN_A_ROW:
                raise RunError(
                    f"{self.run.folder}: {SKIPS_IN_A_ROW} steps in a row without a finite loss",
                    "the last checkpoint is kept; look for a damaged case, or start a new run with a smaller "
                    "--learning-rate",
                )

    def _stop_if_asked(self) -> None:
        request = agreed(self.run.asked(), self.processes)
        if request is None:
            return
        self.save()
        self.run.say(f"{request} at step {self.step}: checkpoint saved; call again with the same options to continue")
        raise Cancelled(ENDS[request])


class _Lossy(nn.Module):
    """Module for DistributedDataParallel whose forward pass computes the losses of a step."""

    def __init__(self, loop: TrainingLoop) -> None:
        super().__init__()
        self.trained = loop.trained
        self._losses = loop.losses

    def forward(self, part: int) -> Mapping[str, Tensor]:
        return self._losses(part)


def _numbers(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
