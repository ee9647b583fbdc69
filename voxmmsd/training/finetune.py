"""Fine-tuning: teach a network the labels of few cases, from scratch or from an earlier model (METHOD section 8).

From scratch and from pre-training run the identical recipe, since the one is the baseline of the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from voxmmsd.config import FinetuneConfig, NetworkConfig, config_to_record
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import Entry
from voxmmsd.losses.segmentation import SegmentationLoss
from voxmmsd.models.package import ModelPackage
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.runs import Run, is_finished, open_run, refuse_other_options, resolve_run
from voxmmsd.schedules import cosine, warmed_cosine
from voxmmsd.training.cases import fixed_splits, labelled_entries, one_schema
from voxmmsd.training.checkpoint import load_state, save_state
from voxmmsd.training.initial import start_from
from voxmmsd.training.loop import TrainingLoop
from voxmmsd.training.optimization import make_optimizer, optimize
from voxmmsd.training.packing import pack_model
from voxmmsd.training.patches import PatchRecipe, PatchSampler
from voxmmsd.training.validation import mean_region_dice, validate

FIRST_BACKGROUND_WEIGHT = 0.1
LAST_RATE = 0.01  # share of the peak learning rate at the last step


def finetune(config: FinetuneConfig) -> Path:
    """Run, or continue, the fine-tuning in ``config.run``; the resulting model package's folder.

    Raises:
        VoxMMSDError: cases, options or the run folder cannot be used as they are.
        Cancelled: the run was asked to pause or cancel; its last checkpoint is kept.
    """
    folder = resolve_run(config.run)
    if is_finished(folder):
        refuse_other_options(folder, "finetune", config_to_record(config))
        print(f"{folder}: is finished; its model is {folder / 'model'}", file=sys.stderr)
        return folder / "model"
    with open_run(folder, "finetune", config_to_record(config), config.steps) as run:
        entries = labelled_entries(config, run)
        splits = fixed_splits(config, run, entries)
        training = FineTuning(config, run, entries, splits)
        training.resume()
        training.train()
        package = training.pack()
        run.say(f"model: {package.folder}")
    return package.folder


class FineTuning(TrainingLoop):
    """The state of one fine-tuning, and what it does at each step."""

    verb = "finetune"

    def __init__(self, config: FinetuneConfig, run: Run, entries: Sequence[Entry], splits: Splits) -> None:
        super().__init__(config, run)
        self.config, self.splits = config, splits
        by_id = {entry.id: entry for entry in entries}
        self.entries = tuple(by_id.values())
        self.validation = [by_id[id_] for id_ in splits.validation]
        self.schema = one_schema(self.entries)
        self.network = SegmentationNetwork(NetworkConfig.of(config.channels), self.schema.class_count)
        self.taken = start_from(self.network, config.start, self.schema, run) if config.start else None
        self.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        # A probe: kernels stay as they are, while BatchNorm's statistics follow the data as for any start.
        self.network.unet.requires_grad_(not config.frozen)
        self.loss = SegmentationLoss()
        self.optimizer = make_optimizer(self.network, config.weight_decay, nesterov=True)
        recipe = PatchRecipe(config.patch, config.batch, config.foreground, config.modality_dropout, config.augment)
        self.sampler = PatchSampler([by_id[id_] for id_ in splits.train], recipe, config.seed)
        self.best: dict[str, Any] = {"step": 0, "dice": -1.0, "regions": {}}

    def train_step(self) -> dict[str, torch.Tensor]:
        image, label = self.sampler.batch(self.step, self.device)
        self.network.train()
        with self.precision.autocast():
            logits = self.network(image.contiguous(memory_format=torch.channels_last_3d))
        loss = self.loss(logits, label, self.background_weight(self.step))
        optimize(loss, self.network, self.optimizer, self.precision, self.learning_rate(self.step))
        return {"loss": loss.detach()}

    def rates(self, step: int) -> dict[str, float]:
        return {"learning_rate": self.learning_rate(step)}

    def learning_rate(self, step: int) -> float:
        config = self.config
        warmup = round(config.warmup * config.steps)
        return warmed_cosine(step, config.steps, warmup, config.learning_rate, LAST_RATE * config.learning_rate)

    def background_weight(self, step: int) -> float:
        """Small at first, since the many background voxels otherwise silence the rare labels for hundreds of steps; 1
        at the end, since a lasting weight would bias the probabilities."""
        return cosine(step, self.config.steps, FIRST_BACKGROUND_WEIGHT, 1.0)

    def after_step(self, is_last: bool) -> None:
        if self.step % self.config.validate_every == 0 or is_last:
            self._validate()

    def _validate(self) -> None:
        self.run.progress(self.step, "validating")
        regions = validate(self.network, self.validation, self.schema, self.device, self.config.patch)
        dice = mean_region_dice(regions)
        for key, value in regions.items():
            self.run.metric(self.step, f"validation Dice {key}", value)
        self.run.metric(self.step, "validation Dice", dice)
        listed = ", ".join(f"{key} {value:.3f}" for key, value in regions.items())
        is_best = dice > self.best["dice"]
        self.run.say(f"step {self.step}: validation Dice {dice:.3f} ({listed}){' *' if is_best else ''}")
        if is_best:
            self.best = {"step": self.step, "dice": dice, "regions": regions}
            save_state(self._best_file, {"network": self.network.state_dict(), "best": self.best})

    @property
    def _best_file(self) -> Path:
        return self.run.folder / "checkpoints" / "best.pt"

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]

    def pack(self) -> ModelPackage:
        """The best network by validation Dice as the run's model package."""
        best = load_state(self._best_file)
        self.network.load_state_dict(best["network"])
        return pack_model(
            self.network.cpu(), self.config, self.run, self.splits, self.entries, best["best"], self.taken
        )
