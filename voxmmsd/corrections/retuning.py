"""Fine-tune on a training library: with a gentle recipe if a model is corrected, with the usual recipe if there is none
to correct. In both cases the new model is only proposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from voxmmsd.compute.processes import Processes
from voxmmsd.corrections.judged import JudgedTraining
from voxmmsd.corrections.labels import corrected_entries, corrected_splits, fixed_corrections, mixed, start_of
from voxmmsd.data.store import Entry
from voxmmsd.errors import ConfigError
from voxmmsd.library import Library
from voxmmsd.models.registry import model_in_use
from voxmmsd.runs import Run
from voxmmsd.schedules import warmed_cosine
from voxmmsd.training.finetune import LAST_RATE
from voxmmsd.training.loop import run_training
from voxmmsd.training_config import FinetuneConfig

HEAD_ALONE = 0.1  # share of the steps in which the rest of the network stands still
GENTLE = 0.3  # share of the usual peak learning rate


def retune(config: FinetuneConfig, library: Library) -> Path:
    """Run or resume the fine-tuning on a library in ``config.run``; returns the folder of the proposed package.

    The network architecture is that of the initial model, whatever ``config.channels`` says. Without a segmentation
    model to start from, a first one is trained and compared with the model in use, if there is one.

    Raises: as ``run_training``.
    """
    if config.target_schema:
        raise ConfigError(
            f"--target-schema {config.target_schema}: does not apply to a training library",
            "leave it out, or train on folders of cases or prepared stores",
        )
    start = start_of(config)
    parent = start if start is not None and start.info.segments else None
    if start is not None:
        config = replace(config, channels=start.info.network.channels)

    def make(config: FinetuneConfig, run: Run, processes: Processes) -> JudgedTraining:
        if processes.are_several:
            raise ConfigError("fine-tuning on a training library is a small job of one process", "leave out torchrun")
        corrections = fixed_corrections(config, run, library, parent)
        entries = corrected_entries(config, run, library, corrections, start)
        splits = corrected_splits(run, library, corrections, entries)
        if parent is None:
            return JudgedTraining(config, run, entries, splits, corrections, model_in_use())
        return ReTuning(config, run, entries, splits, corrections, parent)

    return run_training(config, make, JudgedTraining.verb)


class ReTuning(JudgedTraining):
    """Differs from training from scratch where that would destroy what the model has learned.

    The head is warmed up alone, the learning rate is lower, and BatchNorm statistics are frozen. Classes are not
    balanced, since this would shift the probabilities of a trained head.
    """

    head_pace = 1.0  # the head has learned already

    @property
    def head_steps(self) -> int:
        return round(HEAD_ALONE * self.config.steps)

    def drawn_from(self, entries: Sequence[Entry]) -> list[Entry]:
        return mixed(entries, self.corrections.new)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        if self.step >= self.head_steps:
            return self.network(image)
        with torch.no_grad():
            finest = self.network.unet(image)[0]
        return self.network.head(finest)

    def learning_rate(self, step: int) -> float:
        peak = GENTLE * self.config.learning_rate
        if step < self.head_steps:
            return peak
        warmup = round(self.config.warmup * self.config.steps)
        return warmed_cosine(
            step - self.head_steps, self.config.steps - self.head_steps, warmup, peak, LAST_RATE * peak
        )

    def balance(self, step: int) -> float:
        return 0.0

    def set_batchnorm(self) -> None:
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()
