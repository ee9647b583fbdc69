"""The training loop: steps, logging, checkpoints, exact resume, stop requests, and out-of-memory handling."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from voxmmsd.compute.devices import Precision, choose_device, is_out_of_memory, keep_freed_memory
from voxmmsd.compute.processes import (
    Processes,
    broadcast_from_first,
    mean_of_processes,
    process_group,
    torchrun_processes,
)
from voxmmsd.config import SAME_RESULT, config_to_record, options_that
from voxmmsd.errors import Canceled, ConfigError
from voxmmsd.ids import safe_id
from voxmmsd.models.package import ModelPackage, refuse_long_name
from voxmmsd.runs import RunLog, is_finished, open_run, refuse_other_options, resolve_run, stand_by
from voxmmsd.terminal import progress_bar
from voxmmsd.training.checkpoint import Checkpointer
from voxmmsd.training.draws import Draw
from voxmmsd.training.memory_fallback import MemoryFallback
from voxmmsd.training.optimization import BufferSnapshot, load_optimizer, optimize
from voxmmsd.training.parallel_losses import ParallelLosses
from voxmmsd.training.step_metrics import StepMetrics
from voxmmsd.training_config import TrainingConfig

LOG_EVERY = 10


ConfigT = TypeVar("ConfigT", bound=TrainingConfig)
TrainingT = TypeVar("TrainingT", bound="TrainingLoop")


def run_training(
    config: ConfigT,
    make: Callable[[ConfigT, RunLog, Processes], TrainingT],
    verb: str,
    pack: Callable[[TrainingT], ModelPackage] | None = None,
) -> Path:
    """Run or resume the training in ``config.run``; returns the folder of the resulting package.

    ``pack`` makes the package of the finished training, if not by its own ``pack``.

    Raises:
        VoxMMSDError: cases, options or the run folder cannot be used.
        Canceled: the run was asked to pause or cancel; its last checkpoint is kept.
    """
    folder = resolve_run(config.run)
    record, may_differ = config_to_record(config), options_that(config, SAME_RESULT)
    defaults = config_to_record(type(config)())
    if is_finished(folder):
        refuse_other_options(folder, verb, record, may_differ, defaults)
        print(f"{folder}: is finished; its model is {folder / 'model'}", file=sys.stderr)
        return folder / "model"
    refuse_long_name(safe_id(config.name or folder.resolve().name))
    processes = torchrun_processes()
    device = choose_device(config.device, processes.local_rank)
    opened = (
        open_run(folder, verb, record, config.steps, may_differ=may_differ, defaults=defaults)
        if processes.is_first
        else stand_by(folder)
    )
    with process_group(processes, device), opened as run:
        training = make(config, run, processes)
        training.resume()
        training.train()
        if processes.is_first:
            package = pack(training) if pack else training.pack()
            run.say(f"model: {package.folder}")
    return folder / "model"


class TrainingLoop(ABC):
    """The training loop. Subclasses provide the ``trained`` module, its ``optimizer``, the ``losses`` of a step, what
    to do ``after_step``, and their state."""

    verb: str
    trained: nn.Module
    optimizer: Optimizer

    def __init__(self, config: TrainingConfig, run: RunLog, processes: Processes | None = None) -> None:
        self._options, self.run = config, run
        self.processes = processes or Processes()
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.device = choose_device(config.device, self.processes.local_rank)
        self.precision = Precision(self.device, config.precision)
        if config.sync_batchnorm and self.device.type != "cuda":
            raise ConfigError(
                f"--sync-batchnorm: torch has it on CUDA only, this is {self.device.type}", "leave it out"
            )
        if self.device.type == "cpu":
            keep_freed_memory()
        self.step = 0
        self.memory = MemoryFallback(config.batch, run, self.processes)
        self.metrics = StepMetrics(run, self.processes)
        self.checkpoints = Checkpointer(run, self.processes, config.keep_checkpoints, config.keep_checkpoint_every)
        self.parallel_losses = ParallelLosses(self.processes, config.sync_batchnorm)

    @abstractmethod
    def losses(self, part: int) -> Mapping[str, Tensor]:
        """Scalars of part ``part`` of ``self.memory.parts`` of the batch of step ``self.step``; ``loss`` has a graph.

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
        self.run.progress(self.step, "training")
        try:
            with self._progress_bar() as bar:
                while self.step < self._options.steps:
                    self._stop_if_asked()
                    self.metrics.add(self.train_step())
                    self.step += 1
                    self.run.progress(self.step, "training")
                    bar.update()
                    if self._is_due(LOG_EVERY):
                        bar.set_postfix(loss=f"{self._log()['loss']:.3f}")
                    if self.processes.is_first:
                        self.after_step(is_last=self.step == self._options.steps)
                    if self._is_due(self._options.checkpoint_every):
                        self.save()
        finally:
            self.parallel_losses.close()

    def train_step(self) -> dict[str, Tensor]:
        """Run step ``self.step``; returns its scalars, on the device. If memory runs out, repeat it with less."""
        kept = BufferSnapshot(self.trained)
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
            self.memory.make_room(self.trained, self.step, problem)

    def _attempt(self, kept: BufferSnapshot) -> dict[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        found: list[dict[str, Tensor]] = []
        for part in range(self.memory.parts):
            # Dropout draws from torch's global generator: seeding it by step makes resuming exact.
            torch.manual_seed(self.draw_seed(Draw.DROPOUT, part))
            values = self.parallel_losses(self.trained, self.losses, part)
            self.precision.scaler.scale(values["loss"] / self.memory.parts).backward()
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
        kept.restore_unless(finite)
        self.after_update()
        return {**means, "skipped": (~finite).float()}

    def draw_seed(self, purpose: Draw, *numbers: int) -> int:
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
            **self.memory.state(self.trained),
            **self.metrics.state(),
            "scaler": self.precision.scaler.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.state(),
        }
        self.checkpoints.save(self.step, state)

    def resume(self) -> None:
        """Restore the newest intact checkpoint, if there is one."""
        state = self.checkpoints.newest()
        if state is None:
            return
        if state["scaler"] and self.precision.scaler.is_enabled():  # else it goes on in another precision
            self.precision.scaler.load_state_dict(state["scaler"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.step = state["step"]
        self.metrics.load_state(state)
        self.memory.load_state(state, self.trained)
        self.load_state(state)
        self.run.say(f"continuing at step {self.step} of {self._options.steps}")

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self._options.steps

    def _log(self) -> dict[str, float]:
        """Means since the last log; the only place where the loop waits for the device."""
        means = self.metrics.log(self.step, self.rates(self.step - 1))
        for warning in self.warnings(means):
            self.run.warn(warning)
        total, left = self._options.steps, self.run.seconds_left
        self.run.events.write("progress", step=self.step, total=total, seconds_left=left)
        return means

    def _progress_bar(self) -> Any:
        quiet = {} if self.processes.is_first else {"disable": True}
        return progress_bar(total=self._options.steps, initial=self.step, desc=self.verb, unit="step", **quiet)

    def _stop_if_asked(self) -> None:
        request = broadcast_from_first(self.run.asked(), self.processes)
        if request is None:
            return
        self.save()
        self.run.say(f"{request} at step {self.step}: checkpoint saved; call again with the same options to continue")
        raise Canceled(request.leaves)
