"""The options of the two trainings, ``pretrain`` and ``finetune``, and what they share.

Standard library only: the command line and the panels read them before torch is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from voxmmsd.config import DEVICES, PRECISIONS, Affects, Presets, option
from voxmmsd.errors import ConfigError

METHODS = ("vox-mmsd", "masked-autoencoding", "voxel-contrast")
PRESET_NAMES = ("tiny", "small", "paper")
_ABLATIONS = (  # of the first method; the others have no such part
    "distillation",
    "restoration",
    "single_scale",
    "same_mask_for_views",
    "same_mask_for_modalities",
    "pairs_within_modality",
)
_AT_LEAST_1, _AT_LEAST_0, _SHARE = (1, math.inf), (0, math.inf), (0, 1)


@dataclass(frozen=True)
class TrainingConfig:
    """What both trainings ask for: cases, the model's name, the schedule, checkpoints and the machine."""

    VERB: ClassVar[str]
    PRESETS: ClassVar[Presets]

    folders: tuple[str, ...] = option(
        (), "folders of cases, or prepared stores", affects=Affects.INPUT, positional=True
    )
    run: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs", affects=Affects.PLACE)
    preset: str = option("small", "preset of network size, patch size and steps", choices=PRESET_NAMES)
    splits: str = option("", "JSON file of splits", affects=Affects.INPUT)
    store: str = option("", "folder of the prepared store (default: RUN/store)", affects=Affects.PLACE)
    name: str = option("", "name of the resulting model (default: the run's name)")
    license: str = option("", "license of the resulting model, for the model card", affects=Affects.CARD)
    data_sources: str = option(
        "", "origin of the scans and their terms of use, for the model card", affects=Affects.CARD
    )
    steps: int = option(4000, "optimizer steps", range=_AT_LEAST_1)
    channels: tuple[int, ...] = option(
        (16, 32, 64, 128, 256), "feature channels per level, finest first", range=(1, 4096)
    )
    batch: int = option(2, "patches or cases per step", range=_AT_LEAST_1)
    learning_rate: float = option(1e-3, "peak learning rate", range=_AT_LEAST_0, panel=True)
    warmup: float = option(0.05, "fraction of the steps with linear learning rate warm-up", range=_SHARE)
    checkpoint_every: int = option(100, "steps between checkpoints", range=_AT_LEAST_1, panel=True)
    keep_checkpoints: int = option(2, "number of recent checkpoints to keep", range=_AT_LEAST_1)
    keep_checkpoint_every: int = option(0, "steps between permanent checkpoints (0: none)", range=_AT_LEAST_0)
    sync_batchnorm: bool = option(False, "synchronize BatchNorm over all torchrun processes (GPUs only)")
    seed: int = option(0, "random seed", range=_AT_LEAST_0, panel=True)
    device: str = option("auto", "device to compute on", choices=DEVICES, affects=Affects.DEVICE)
    precision: str = option("auto", "auto: half on CUDA, float32 elsewhere", choices=PRECISIONS)
    threads: int = option(0, "CPU threads (0: default of torch)", range=_AT_LEAST_0, affects=Affects.SPEED, panel=True)
    workers: int = option(
        0, "parallel processes for preparation (0: one per core)", range=_AT_LEAST_0, affects=Affects.SPEED
    )

    def _refuse_indivisible(self, name: str, side: int) -> None:
        divisor = 2 ** (len(self.channels) - 1)
        if side % divisor:
            raise ConfigError(
                f"{self.VERB}: --{name} {side} is not a multiple of {divisor}, as the network of "
                f"{len(self.channels)} levels (--channels) halves each side {len(self.channels) - 1} times",
                f"give --{name} {max(1, round(side / divisor)) * divisor}",
            )


@dataclass(frozen=True)
class FinetuneConfig(TrainingConfig):
    """The options of ``finetune``."""

    VERB: ClassVar[str] = "finetune"
    PRESETS: ClassVar[Presets] = {
        "tiny": {
            "channels": (8, 16, 32),
            "patch": 32,
            "steps": 30,
            "learning_rate": 3e-3,
            "class_balancing": 1.0,
            "freeze_batchnorm_after": 1.0,
            "validate_every": 30,
            "checkpoint_every": 10,
            "region_dice": 1.0,
        },
        "small": {"region_dice": 1.0},  # the tumor core is found in fewer steps (docs/starter-model.md)
        "paper": {"channels": (32, 64, 128, 256, 512), "patch": 96, "batch": 4, "steps": 20_000},
    }

    folders: tuple[str, ...] = option(
        (),
        "folders of labeled cases, prepared stores, or a training library",
        affects=Affects.INPUT,
        positional=True,
    )
    splits: str = option("", "JSON file that lists the training, validation and test patients", affects=Affects.INPUT)
    batch: int = option(2, "patches per step", range=_AT_LEAST_1)
    learning_rate: float = option(1e-3, "peak learning rate of AdamW", range=_AT_LEAST_0, panel=True)
    keep_checkpoints: int = option(2, "number of recent checkpoints to keep, besides the best one", range=_AT_LEAST_1)
    start: str = option(
        "",
        "model package or run that provides the initial weights and the channels (default: train from scratch)",
        affects=Affects.INPUT,
        flag="from",
    )
    schema: str = option("", "label schema of the data set, if file names do not determine it")
    target_schema: str = option(
        "",
        "label schema of the model; data sets with other schemas are mapped to it tissue by tissue (default: that of "
        "the cases; if they differ, that of --from)",
    )
    patch: int = option(64, "patch size in voxels", range=_AT_LEAST_1)
    weight_decay: float = option(0.01, "weight decay, not on biases and norms", range=_AT_LEAST_0)
    class_balancing: float = option(
        0.25, "fraction of the steps with class balancing, which decreases to none over them", range=_SHARE
    )
    freeze_batchnorm_after: float = option(
        0.5, "fraction of the steps after which BatchNorm statistics are frozen", range=_SHARE
    )
    modality_dropout: float = option(
        0.0, "probability that a random subset of the modalities of a patch is dropped", range=_SHARE, panel=True
    )
    oversample_foreground: float = option(
        0.5, "fraction of the patches centered on a tumor voxel", range=_SHARE, panel=True
    )
    balance_cohorts: bool = option(False, "draw equally often from each folder, whatever its number of cases")
    region_dice: float = option(
        0.0,
        "weight of a Dice loss on the regions (WT, TC, ET), added to that on the labels (presets tiny and small: 1)",
        range=_AT_LEAST_0,
    )
    edited_weight: float = option(
        1.0,
        "weight in the loss of voxels that a person edited, where the label went through `refine`; all others weigh 1",
        range=_AT_LEAST_1,
    )
    ema_decay: float = option(
        0.0, "decay of an exponential moving average of the weights, used as the result (0: off)", range=_SHARE
    )
    linear_probe: bool = option(False, "train only the head: a linear probe of the initial features")
    augment: bool = option(True, "random flips, rotations, scaling and intensity changes", panel=True)
    transforms: tuple[str, ...] = option((), "additional augmentations, such as low-resolution:p=0.3,factor=2..4")
    tumor_bank: str = option(
        "",
        "file of tumors that the transform `paste` pastes into healthy tissue (.npz)",
        affects=Affects.INPUT,
    )
    validate_every: int = option(
        500, "steps between validations (the last step always validates)", range=_AT_LEAST_1, panel=True
    )

    def check_patch(self) -> None:
        """Raises ConfigError: the network cannot halve the patch as often as it does. Its depth may be that of
        ``start``, so that this is not known when the options are given."""
        self._refuse_indivisible("patch", self.patch)

    def check_for_library(self) -> None:
        """Raises ConfigError: an option that does not apply to a training library, which has its own parts and schema.
        Whether a folder is one is not known when the options are given."""
        for flag, value in (("--target-schema", self.target_schema), ("--splits", self.splits)):
            if value:
                raise ConfigError(
                    f"{flag} {value}: does not apply to a training library",
                    "leave it out, or train on folders of cases or prepared stores",
                )


@dataclass(frozen=True)
class PretrainConfig(TrainingConfig):
    """The options of ``pretrain``."""

    VERB: ClassVar[str] = "pretrain"
    PRESETS: ClassVar[Presets] = {
        "tiny": {
            "channels": (8, 16, 32),
            "block": 32,
            "mask_size": 8,
            "pairs": 256,
            "candidates": 2**16,
            "steps": 30,
            "preview_every": 30,
            "checkpoint_every": 10,
        },
        "small": {},
        "paper": {"channels": (32, 64, 128, 256, 512), "block": 96, "steps": 60_000},
    }

    folders: tuple[str, ...] = option(
        (), "folders of labeled or unlabeled cases, or prepared stores", affects=Affects.INPUT, positional=True
    )
    splits: str = option(
        "", "JSON file of splits; only its training and unlabeled patients are used", affects=Affects.INPUT
    )
    steps: int = option(10_000, "optimizer steps", range=_AT_LEAST_1)
    batch: int = option(2, "cases per step; each gives two blocks", range=_AT_LEAST_1)
    learning_rate: float = option(1e-3, "peak learning rate of SGD with momentum", range=_AT_LEAST_0, panel=True)
    warmup: float = option(1 / 30, "fraction of the steps with linear learning rate warm-up", range=_SHARE)
    method: str = option("vox-mmsd", "pretext method", choices=METHODS)
    block: int = option(64, "block size in voxels", range=_AT_LEAST_1)
    mask_ratio: float = option(0.875, "mask ratio: fraction of masked cells", range=_SHARE, panel=True)
    mask_size: int = option(16, "size of the masked cells in voxels", range=_AT_LEAST_1, panel=True)
    pairs: int = option(1024, "voxel pairs per case", range=_AT_LEAST_1, panel=True)
    candidates: int = option(2**18, "candidate points per case, from which the pairs are selected", range=_AT_LEAST_1)
    distillation_weight: float = option(
        1.0, "weight of the distillation loss relative to the restoration loss", range=_AT_LEAST_0
    )
    distillation: bool = option(True, "self-distillation of voxel pairs (ablation: --no-distillation)")
    restoration: bool = option(True, "restoration of the masked blocks (ablation: --no-restoration)")
    single_scale: bool = option(False, "ablation: embed pairs from the finest features only")
    same_mask_for_views: bool = option(False, "ablation: share one mask between both views")
    same_mask_for_modalities: bool = option(False, "ablation: share one mask across all modalities")
    pairs_within_modality: bool = option(False, "ablation: draw both voxels of a pair from the same modality")
    transforms: tuple[str, ...] = option(
        (), "additional augmentations of the views' intensities, such as bias-field:p=0.3,strength=0.1..0.4"
    )
    mask_after_augmentation: bool = option(
        True, "apply the mask again after the augmentations, so that masked cells are exactly 0"
    )
    preview_every: int = option(500, "steps between preview pictures of the restoration", range=_AT_LEAST_1, panel=True)

    def __post_init__(self) -> None:
        if not (self.distillation or self.restoration):
            raise ConfigError(
                "pretrain: without --distillation and --restoration there is nothing to learn", "keep one"
            )
        self._refuse_ablations_of_other_methods()
        if self.mask_size < 1 or self.block % self.mask_size:
            raise ConfigError(
                f"pretrain: --block {self.block} is not a multiple of --mask-size {self.mask_size}",
                "give a --block that --mask-size divides",
            )
        self._refuse_indivisible("block", self.block)

    def _refuse_ablations_of_other_methods(self) -> None:
        stated = [name for name in _ABLATIONS if getattr(self, name) != getattr(type(self), name)]
        if stated and self.method != METHODS[0]:
            flags = [f"--{'' if getattr(self, name) else 'no-'}{name.replace('_', '-')}" for name in stated]
            raise ConfigError(
                f"pretrain: --method {self.method} does not use {', '.join(flags)}",
                f"leave it out, or give --method {METHODS[0]}",
            )
