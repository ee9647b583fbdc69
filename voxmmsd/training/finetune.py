"""Fine-tune a network on a few labeled cases, from scratch or from an earlier model (``docs/method.md``, section 8).

Training from scratch and from pre-trained weights uses the identical recipe, since one is the baseline of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from voxmmsd.compute.processes import Processes, first_rank_first
from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.errors import ConfigError, RunError
from voxmmsd.evaluation.pictures import validation_picture
from voxmmsd.evaluation.temperature import NearLesion, fit_temperature
from voxmmsd.evaluation.volume_errors import Errors, median_errors
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.losses.segmentation import SegmentationLoss
from voxmmsd.model_config import NetworkConfig
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.provenance import CALIBRATION
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.runs import RunLog
from voxmmsd.training.cases import fixed_splits, labeled_entries, model_schema, open_bank
from voxmmsd.training.checkpoint import load_state, save_state
from voxmmsd.training.init_weights import start_from, warn_of_known_patients
from voxmmsd.training.loop import TrainingLoop, run_training
from voxmmsd.training.optimization import adamw, follow, share_buffers
from voxmmsd.training.packing import Best, RecordExtras, Trained, pack_model
from voxmmsd.training.patches import PatchRecipe, PatchSampler
from voxmmsd.training.recipe import Keep, Recipe, standard
from voxmmsd.training.validation import mean_of_cases, mean_region_dice, segment_window, validate
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.transforms.listed import make_transforms
from voxmmsd.transforms.paste import Tumors

LONG_MEMORY = (0.02, 0.1)  # BatchNorm's momentum: about the last 50 batches; 10 in a run of some dozens


def finetune(config: FinetuneConfig) -> Path:
    """Run or resume the fine-tuning in ``config.run``; returns the folder of the resulting model package.

    Raises: as ``run_training``.
    """
    if config.edited_weight != 1:
        raise ConfigError(
            f"--edited-weight {config.edited_weight:g}: only a training library knows which voxels a person edited",
            "leave it out, or train on a library",
        )
    config.check_patch()

    def make(config: FinetuneConfig, run: RunLog, processes: Processes) -> FineTuning:
        with first_rank_first(processes):
            entries = labeled_entries(config, run)
            splits = fixed_splits(config, run, entries)
        training = FineTuning(config, run, entries, splits, processes)
        if training.transfer:
            warn_of_known_patients(training.transfer.model, training.transfer.learned, entries, splits, run)
        return training

    return run_training(config, make, FineTuning.verb)


class FineTuning(TrainingLoop):
    """The state of a fine-tuning and its training step.

    ``recipe``: what happens at each step (default: ``standard``). ``drawn``: the training cases to draw patches from,
    repeated as often as each is to be drawn (default: each once).
    """

    verb = "finetune"

    def __init__(
        self,
        config: FinetuneConfig,
        run: RunLog,
        entries: Sequence[PreparedCase],
        splits: Splits,
        processes: Processes | None = None,
        *,
        recipe: Recipe | None = None,
        drawn: Sequence[PreparedCase] = (),
    ) -> None:
        super().__init__(config, run, processes)
        self.config, self.splits = config, splits
        self.recipe = recipe or standard(config)
        by_id = {entry.id: entry for entry in entries}
        self.entries = tuple(by_id.values())
        self.validation = [by_id[id_] for id_ in splits.validation]
        self.schema = model_schema(self.entries)
        self.network = SegmentationNetwork(NetworkConfig.of(config.channels), self.schema.class_count)
        self.transfer = start_from(self.network, config.start, self.schema, run) if config.start else None
        self.bank = open_bank(config.tumor_bank, self.schema, self.entries, splits)
        self.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        # A probe: kernels stay as they are, while BatchNorm's statistics follow the data as for any start.
        self.network.unet.requires_grad_(not config.linear_probe)
        open_labels = any(by_id[id_].leaves_tissues_open for id_ in splits.train)
        self.loss = SegmentationLoss(self.schema.unions, config.region_dice, open_labels, config.edited_weight)
        self.average = deepcopy(self.network) if config.ema_decay else None
        self.optimizer = adamw(self.network, config.weight_decay, self.recipe.head_lr_scale)
        patches = PatchRecipe(
            config.patch,
            config.batch,
            config.oversample_foreground,
            config.modality_dropout,
            config.augment,
            config.balance_cohorts,
            make_transforms(config.transforms, self.schema, self._tumors()),
        )
        training = drawn or [by_id[id_] for id_ in splits.train]
        self.sampler = PatchSampler(training, patches, config.seed, self.processes, self.device)
        self.trained = self.network
        self.best = Best()

    def losses(self, part: int) -> dict[str, torch.Tensor]:
        if part == 0:
            self._batch = self.sampler.batch(self.step, self.recipe.dropout_share(self.step))
        image, label = (tensor.chunk(self.memory.parts)[part] for tensor in self._batch)
        self.set_batchnorm()
        with self.precision.autocast():
            logits = self.logits(image.contiguous(memory_format=torch.channels_last_3d))
        return {"loss": self.loss(logits, label, self.recipe.class_balance(self.step))}

    def _tumors(self) -> Tumors | None:
        """Those of the bank, for patches of the prepared cases' voxel size."""
        if self.bank is None:
            return None
        return Tumors.of_bank(self.bank, self.entries[0].preprocess.spacing_mm, self.device)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """The logits of a batch from ``PatchSampler``; while only the head is trained, its gradient ends there."""
        if self.step >= self.recipe.head_only_until:
            return self.network(image)
        with torch.no_grad():
            finest = self.network.unet(image)[0]
        return self.network.head(finest)

    def set_batchnorm(self) -> None:
        """Set training mode; BatchNorm uses batch statistics at first and frozen running averages later.

        With two patches per batch, batch statistics depend on how much background the patches contain, so a network
        trained on them behaves differently under the running averages used at inference. In the second part of
        training BatchNorm therefore uses the frozen running averages.
        """
        self.network.train()
        memory = float(np.clip(6 / self.config.steps, *LONG_MEMORY))
        frozen = self.step >= self.recipe.batchnorm_frozen_from
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm):
                module.momentum = max(1 / (self.step + 1), memory)
                module.train(not frozen)

    def rates(self, step: int) -> dict[str, float]:
        return {"learning_rate": self.recipe.learning_rate(step)}

    def after_update(self) -> None:
        # Without --sync-batchnorm each process has BatchNorm statistics of its own patches. A checkpoint holds those of
        # one process, and different ones that are frozen would train different networks.
        if self.processes.is_distributed and self.step < self.recipe.batchnorm_frozen_from:
            share_buffers(self.network)
        if self.average is not None:
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))  # the start fades away first
            follow(self.average, self.network, decay)

    @property
    def validated(self) -> SegmentationNetwork:
        """The network that is validated and saved: the running average, if there is one."""
        return self.network if self.average is None else self.average

    def after_step(self, is_last: bool) -> None:
        if self.recipe.keep is Keep.LAST and not self.validation:
            if is_last:
                self._keep(Best(self.step, 0.0))
        elif self.step % self.config.validate_every == 0 or is_last:
            self._validate()

    def _validate(self) -> None:
        self.run.progress(self.step, "validating")
        window = segment_window(self.config.patch)
        scored = validate(self.validated, self.validation, self.schema, self.device, window, self._picture)
        regions = mean_of_cases(scored)
        dice = mean_region_dice(regions)
        for key, value in regions.items():
            self.run.metric(self.step, f"validation Dice {key}", value)
        self.run.metric(self.step, "validation Dice", dice)
        is_best = self.recipe.keep is Keep.LAST or dice > self.best.dice
        self.run.say(f"step {self.step}: validation Dice {dice:.3f} ({_listed(regions)}){' *' if is_best else ''}")
        cohorts = self._by_cohort(scored)
        for cohort, theirs in cohorts.items():
            self.run.say(f"step {self.step}: {cohort}: {_listed(theirs)}")
        if is_best:
            self._keep(Best(self.step, dice, regions, cohorts))

    def _keep(self, best: Best) -> None:
        """Write the network as the one that the training results in, for now."""
        self.best = best
        save_state(self.best_file, {"network": self.validated.state_dict(), "best": best.record()})

    def _by_cohort(self, scored: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
        """Dice of the validation cases per data set; empty if there is only one."""
        cohorts = [entry.cohort for entry in self.validation]
        names = sorted(set(cohorts))
        if len(names) < 2:
            return {}
        return {
            name: mean_of_cases([case for case, cohort in zip(scored, cohorts, strict=True) if cohort == name])
            for name in names
        }

    def _picture(self, entry: PreparedCase, predicted: np.ndarray) -> None:
        """Picture of the first validation case, the same at every validation."""
        if entry is not self.validation[0] or entry.leaves_tissues_open:
            return
        file = self.run.folder / "previews" / f"step-{self.step:08d}.png"
        validation_picture(np.asarray(entry.image()), entry.present, predicted, entry.label(), self.schema, file)
        self.run.events.write("preview", step=self.step, file=f"previews/{file.name}")

    @property
    def best_file(self) -> Path:
        return self.run.folder / "checkpoints" / "best.pt"

    def state(self) -> dict[str, Any]:
        average = {} if self.average is None else {"average": self.average.state_dict()}
        return {
            "network": self.network.state_dict(),
            "best": self.best.record(),
            **average,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.best = Best(**state["best"])

    def restore_kept(self) -> None:
        """Load the network that the training results in, and its scores."""
        kept = self._kept_state()
        self.network.load_state_dict(kept["network"])
        self.network.to(self.device)
        self.best = Best(**kept["best"])

    def pack(self, extras: RecordExtras | None = None) -> ModelPackage:
        """Pack the network that the training results in as the model package of the run."""
        self.restore_kept()
        extras = extras or RecordExtras()
        calibration, volumes = self._last_look()
        extras = replace(extras, training={**extras.training, **calibration}, volumes=volumes)
        trained = Trained(self.network.cpu(), self.best, self.transfer, self.bank)
        return pack_model(trained, self.config, self.run, self.splits, self.entries, extras)

    def _last_look(self) -> tuple[dict[str, Any], Errors]:
        """The temperature fitted to the validation cases with labels of all tissues and a tumor, empty if there are
        none; and the median errors of the volumes, empty if a case has not all tissues."""
        self.run.progress(self.step, "calibrating")
        window, engine = segment_window(self.config.patch), TorchEngine(self.network, self.device)
        zones: dict[str, NearLesion] = {}
        volumes = []
        for entry in self.validation:
            if not entry.leaves_tissues_open:
                probabilities = predict_probabilities(np.asarray(entry.image()), engine, window)
                label = np.asarray(entry.label())
                zone = NearLesion.of(probabilities, label, entry.grid)
                zones |= {entry.id: zone} if zone is not None else {}
                found = (label, probabilities.argmax(axis=0))
                expert, ours = (volumes_ml(indices, self.schema, entry.grid) for indices in found)
                volumes.append((expert, ours))
        errors = median_errors(volumes) if len(volumes) == len(self.validation) else {}  # of the cases of the scores
        return {CALIBRATION: fit_temperature(zones)} if zones else {}, errors

    def _kept_state(self) -> dict[str, Any]:
        try:
            return load_state(self.best_file)
        except RunError as error:  # else every further call would end here: the last network is there, and whole
            self.run.warn(f"{error.problem}; the network of the last step takes its place")
            self.best = Best()
            self.after_step(is_last=True)
            return load_state(self.best_file)


def _listed(regions: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.3f}" for key, value in regions.items())
