"""What every training does alike: steps, logging, checkpoints, exact resume, and stopping when asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from voxmmsd.errors import Cancelled
from voxmmsd.networks.devices import Precision, choose_device, keep_freed_memory
from voxmmsd.runs import Run
from voxmmsd.training.checkpoint import newest_checkpoint, save_checkpoint

LOG_EVERY = 10


class LoopConfig(Protocol):
    """The options that every training has."""

    @property
    def steps(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def keep(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...


class TrainingLoop(ABC):
    """The loop; a training gives it ``train_step``, what is ``logged``, what is due ``after_step``, and its state."""

    verb: str

    def __init__(self, config: LoopConfig, run: Run) -> None:
        self._options, self.run = config, run
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.device = choose_device(config.device)
        self.precision = Precision(self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.step = 0
        self._pending: list[Mapping[str, Tensor | float]] = []

    @abstractmethod
    def train_step(self) -> Mapping[str, Tensor]:
        """Do step ``self.step``; scalars to log, ``loss`` among them, left on the device."""

    @abstractmethod
    def rates(self, step: int) -> dict[str, float]:
        """Scheduled values of a step, to log."""

    @abstractmethod
    def after_step(self, is_last: bool) -> None:
        """What is due every so often; ``self.step`` steps are done."""

    def warnings(self, means: dict[str, float]) -> list[str]:
        """What is wrong with the training, told from the means just logged."""
        return []

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that the training needs to continue exactly, beside what the loop keeps."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""

    def train(self) -> None:
        """From the current step to the last, validating and saving on the way."""
        steps = self._options.steps
        with tqdm(total=steps, initial=self.step, desc=self.verb, unit="step", dynamic_ncols=True) as bar:
            while self.step < steps:
                self._stop_if_asked()
                # Dropout draws from torch's global generator: seeding it by step makes resuming exact.
                torch.manual_seed(self.draw_seed(0xD0, self.step))
                self._pending.append(self.train_step())
                self.step += 1
                self.run.progress(self.step, "training")
                bar.update()
                is_last = self.step == steps
                if self.step % LOG_EVERY == 0 or is_last:
                    bar.set_postfix(loss=f"{self._log()['loss']:.3f}")
                self.after_step(is_last)
                if self.step % self._options.checkpoint_every == 0 or is_last:
                    self.save()

    def draw_seed(self, purpose: int, step: int) -> int:
        """A seed for a step and purpose, a function of the run's seed alone."""
        return int(np.random.default_rng([self._options.seed, purpose, step]).integers(2**62))

    def save(self) -> None:
        """Write a checkpoint from which ``resume`` continues exactly."""
        state = {
            "step": self.step,
            "scaler": self.precision.scaler.state_dict(),
            "pending": [_plain(values) for values in self._pending],
            **self.state(),
        }
        save_checkpoint(self.run.folder / "checkpoints", self.step, state, self._options.keep)

    def resume(self) -> None:
        """Take up the newest whole checkpoint, if there is one."""
        state, problems = newest_checkpoint(self.run.folder / "checkpoints")
        for problem in problems:
            self.run.warn(f"{problem}; going back to an earlier one")
        if state is None:
            return
        self.precision.scaler.load_state_dict(state["scaler"])
        self.step, self._pending = state["step"], list(state["pending"])
        self.load_state(state)
        self.run.say(f"continuing at step {self.step} of {self._options.steps}")

    def _log(self) -> dict[str, float]:
        """Means since the last log, written as metrics; the only place where the loop waits for the device."""
        values = [_plain(pending) for pending in self._pending]
        self._pending.clear()
        means = {name: sum(each[name] for each in values) / len(values) for name in values[0]}
        for name, value in {**means, **self.rates(self.step - 1)}.items():
            self.run.metric(self.step, name, value)
        for warning in self.warnings(means):
            self.run.warn(warning)
        total, left = self._options.steps, self.run.seconds_left
        self.run.events.write("progress", step=self.step, total=total, seconds_left=left)
        return means

    def _stop_if_asked(self) -> None:
        request = self.run.asked()
        if request is None:
            return
        self.save()
        self.run.say(f"{request} at step {self.step}: checkpoint saved; call again with the same options to continue")
        raise Cancelled("paused" if request == "pause" else "cancelled")


def _plain(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
