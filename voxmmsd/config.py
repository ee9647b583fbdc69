"""One dataclass per verb, shared by the command line, the panels, checkpoints and tests.

Standard library only. A field is an option of the same name (``steps`` is ``--steps``) and a key of a configuration
file; its ``help`` is shown by both. Order of precedence: option, file, preset, default.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from voxmmsd.errors import ConfigError
from voxmmsd.files import parse_json

ConfigT = TypeVar("ConfigT")

ENGINES = ("auto", "onnx", "openvino", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "half")
PRESETS = ("tiny", "small", "paper")
PROTOCOLS = ("brats2023", "brats2024")
TASKS = ("auto", "gli", "ssa", "men", "ped", "met")
BRAIN_MASK = "image that is non-zero inside the brain, a skull-stripped modality, or hd-bet or synthstrip"
MOST_LEVELS = 8  # of a network
SUBSET_SPLITS = ("validation", "test", "other")
LIBRARY_RECORD = "library.json"  # a folder that holds it is a training library
CORRECTIONS_RECORD = "corrections.json"  # of a run: which labels of which library it learned
METHODS = ("vox-mmsd", "masked-autoencoding", "voxel-contrast")


def option(default: Any, help: str, *, choices: tuple[str, ...] = (), flag: str = "", positional: bool = False) -> Any:
    """A dataclass field with metadata for the command line."""
    metadata = {"help": help, "choices": choices, "flag": flag, "positional": positional}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NetworkConfig:
    """The 3-D U-Net: feature channels per level, finest first, and dropout per level."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    dropout: tuple[float, ...] = (0.0, 0.0, 0.2, 0.2, 0.2)
    in_channels: int = 4

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.dropout):
            raise ConfigError(
                f"network: {len(self.channels)} channels but {len(self.dropout)} dropout values",
                "give one of each per level",
            )
        if len(self.channels) > MOST_LEVELS:
            raise ConfigError(
                f"network: {len(self.channels)} levels", f"give {MOST_LEVELS} at most: each halves the image"
            )

    @property
    def divisor(self) -> int:
        """Every side of a window must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))

    @classmethod
    def of(cls, channels: tuple[int, ...]) -> NetworkConfig:
        """No dropout on the two finest levels, 0.2 on the deeper ones (``docs/method.md``, section 4)."""
        return cls(channels, tuple(0.0 if level < 2 else 0.2 for level in range(len(channels))))


@dataclass(frozen=True)
class PreprocessConfig:
    """Preprocessing of a case to uint8: see ``voxmmsd.data.preprocess``."""

    spacing_mm: float = 1.0
    margin_voxels: int = 10
    percentile: float = 99.9


@dataclass(frozen=True)
class CasesConfig:
    folder: str = option("", "folder of cases, or a CSV or JSON list", positional=True)
    schema: str = option("", "label schema of the data set, if file names do not determine it")


@dataclass(frozen=True)
class PhantomConfig:
    folder: str = option("", "output folder for the synthetic patients", positional=True)
    count: int = option(3, "number of patients")
    seed: int = option(0, "random seed")
    shape: int = option(96, "voxels along each side")
    spacing: float = option(1.0, "voxel size in mm")


@dataclass(frozen=True)
class PrepareConfig:
    folder: str = option("", "folder of cases", positional=True)
    store: str = option("", "folder of the prepared store")
    schema: str = option("", "label schema of the data set, if file names do not determine it")
    reference: str = option("", "modality whose grid the case is resampled to (default: t1c, else the finest)")
    align: bool = option(False, "first register each modality to the reference, with a picture (needs SimpleITK)")
    brain_mask: str = option("", "a skull-stripped modality, or hd-bet or synthstrip (default: masks in the folder)")
    spacing: float = option(1.0, "voxel size of the prepared arrays in mm")
    workers: int = option(0, "parallel processes (0: one per core)")


@dataclass(frozen=True)
class FinetuneConfig:
    folders: tuple[str, ...] = option(
        (), "folders of labeled cases, prepared stores, or a training library", positional=True
    )
    run: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs")
    start: str = option(
        "", "model package or run that provides the initial weights (default: train from scratch)", flag="from"
    )
    preset: str = option("small", "preset of network size, patch size and steps", choices=PRESETS)
    splits: str = option("", "JSON file that lists the training, validation and test patients")
    store: str = option("", "folder of the prepared store (default: RUN/store)")
    schema: str = option("", "label schema of the data set, if file names do not determine it")
    target_schema: str = option(
        "",
        "label schema of the model; data sets with other schemas are mapped to it tissue by tissue (default: that of "
        "the cases; if they differ, that of --from)",
    )
    name: str = option("", "name of the resulting model (default: the run's name)")
    license: str = option("", "license of the resulting model, for the model card")
    sources: str = option("", "origin of the scans and their terms of use, for the model card")
    steps: int = option(4000, "optimizer steps")
    channels: tuple[int, ...] = option((16, 32, 64, 128, 256), "feature channels per level, finest first")
    patch: int = option(64, "patch size in voxels")
    batch: int = option(2, "patches per step")
    learning_rate: float = option(1e-3, "peak learning rate of AdamW")
    weight_decay: float = option(0.01, "weight decay, not on biases and norms")
    warmup: float = option(0.05, "fraction of the steps with linear learning rate warm-up")
    balanced: float = option(0.25, "fraction of the steps with class balancing, which decreases to none over them")
    free_statistics: float = option(0.5, "fraction of the steps after which BatchNorm statistics are frozen")
    foreground: float = option(0.5, "fraction of the patches centered on a tumor voxel")
    balance_cohorts: bool = option(False, "draw equally often from each folder, whatever its number of cases")
    modality_dropout: float = option(0.0, "probability that a random subset of the modalities of a patch is dropped")
    region_dice: float = option(0.0, "weight of a Dice loss on the regions (WT, TC, ET), added to that on the labels")
    weight_average: float = option(
        0.0, "decay of an exponential moving average of the weights, used as the result (0: off)"
    )
    frozen: bool = option(False, "train only the head: a linear probe of the initial features")
    augment: bool = option(True, "random flips, rotations, scaling and intensity changes")
    transforms: tuple[str, ...] = option((), "additional augmentations, such as low-resolution:p=0.3,factor=2..4")
    validate_every: int = option(500, "steps between validations (the last step always validates)")
    checkpoint_every: int = option(100, "steps between checkpoints")
    keep: int = option(2, "number of recent checkpoints to keep, besides the best one")
    keep_every: int = option(0, "steps between permanent checkpoints (0: none)")
    sync_batchnorm: bool = option(False, "synchronize BatchNorm over all torchrun processes (GPUs only)")
    seed: int = option(0, "random seed")
    device: str = option("auto", "device to compute on", choices=DEVICES)
    threads: int = option(0, "CPU threads (0: default of torch)")
    workers: int = option(0, "parallel processes for preparation (0: one per core)")


@dataclass(frozen=True)
class PretrainConfig:
    folders: tuple[str, ...] = option((), "folders of labeled or unlabeled cases, or prepared stores", positional=True)
    run: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs")
    method: str = option("vox-mmsd", "pretext method", choices=METHODS)
    preset: str = option("small", "preset of network size, patch size and steps", choices=PRESETS)
    splits: str = option("", "JSON file of splits; only its training and unlabeled patients are used")
    store: str = option("", "folder of the prepared store (default: RUN/store)")
    name: str = option("", "name of the resulting model (default: the run's name)")
    license: str = option("", "license of the resulting model, for the model card")
    sources: str = option("", "origin of the scans and their terms of use, for the model card")
    steps: int = option(10_000, "optimizer steps")
    channels: tuple[int, ...] = option((16, 32, 64, 128, 256), "feature channels per level, finest first")
    block: int = option(64, "block size in voxels")
    batch: int = option(2, "cases per step; each gives two blocks")
    cell: int = option(16, "size of the masked cells in voxels")
    masked: float = option(0.875, "mask ratio: fraction of masked cells")
    pairs: int = option(1024, "voxel pairs per case")
    candidates: int = option(2**18, "candidate points per case, from which the pairs are selected")
    learning_rate: float = option(1e-3, "peak learning rate of SGD with momentum")
    warmup: float = option(1 / 30, "fraction of the steps with linear learning rate warm-up")
    distillation_weight: float = option(1.0, "weight of the distillation loss relative to the restoration loss")
    distillation: bool = option(True, "self-distillation of voxel pairs (ablation: --no-distillation)")
    restoration: bool = option(True, "restoration of the masked blocks (ablation: --no-restoration)")
    single_scale: bool = option(False, "ablation: embed pairs from the finest features only")
    same_mask: bool = option(False, "ablation: share one mask between both views")
    joint_mask: bool = option(False, "ablation: share one mask across all modalities")
    same_modality: bool = option(False, "ablation: draw both voxels of a pair from the same modality")
    transforms: tuple[str, ...] = option(
        (), "additional augmentations of the views' intensities, such as bias-field:p=0.3,strength=0.1..0.4"
    )
    hide_last: bool = option(True, "apply the mask again after the augmentations, so that masked cells are exactly 0")
    preview_every: int = option(500, "steps between preview pictures of the restoration")
    checkpoint_every: int = option(100, "steps between checkpoints")
    keep: int = option(2, "number of recent checkpoints to keep")
    keep_every: int = option(0, "steps between permanent checkpoints (0: none)")
    sync_batchnorm: bool = option(False, "synchronize BatchNorm over all torchrun processes (GPUs only)")
    seed: int = option(0, "random seed")
    device: str = option("auto", "device to compute on", choices=DEVICES)
    threads: int = option(0, "CPU threads (0: default of torch)")
    workers: int = option(0, "parallel processes for preparation (0: one per core)")

    def __post_init__(self) -> None:
        if not (self.distillation or self.restoration):
            raise ConfigError(
                "pretrain: without --distillation and --restoration there is nothing to learn", "keep one"
            )
        if self.cell < 1 or self.block % self.cell:
            raise ConfigError(
                f"pretrain: --block {self.block} is no multiple of --cell {self.cell}",
                "give a --block that --cell divides",
            )


@dataclass(frozen=True)
class EstimateConfig:
    task: str = option("finetune", "verb to estimate", choices=("pretrain", "finetune"), positional=True)
    options: str = option("", "JSON or TOML file with the options of that verb", positional=True)
    json: bool = option(False, "print JSON instead of text")


@dataclass(frozen=True)
class JobConfig:
    task: str = option(
        "finetune", "verb to run on the other machine", choices=("pretrain", "finetune"), positional=True
    )
    options: str = option("", "JSON or TOML file with the options of that verb", positional=True)
    out: str = option("", "output folder, new or empty")


@dataclass(frozen=True)
class CompareConfig:
    experiment: str = option("", "TOML file that describes the experiment", positional=True)
    run: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs")
    test: bool = option(False, "score the test cases instead of the validation cases (only once, at the end)")
    jobs: int = option(1, "number of parallel trainings; they share the GPU or the CPU cores")


@dataclass(frozen=True)
class SegmentConfig:
    case: str = option("", "folder of one case, or folder of cases", positional=True)
    out: str = option("", "output folder")
    t1n: str = option("", "T1 image, instead of a folder")
    t1c: str = option("", "contrast-enhanced T1 image")
    t2w: str = option("", "T2 image")
    t2f: str = option("", "FLAIR image")
    id: str = option("", "case id, if images are given one by one")
    brain_mask: str = option("", BRAIN_MASK)
    reference: str = option("", "modality that defines the grid of the result (default: t1c, else the finest)")
    align: bool = option(False, "first register each modality to the reference, with a picture (needs SimpleITK)")
    model: str = option("", "model name, package folder or zip (default: the most recently accepted model)")
    engine: str = option("auto", "inference engine (auto: the fastest on this machine, measured once)", choices=ENGINES)
    device: str = option("auto", "device to compute on", choices=DEVICES)
    precision: str = option("auto", "auto: half on CUDA, float32 elsewhere", choices=PRECISIONS)
    memory: str = option("", "memory limit for the whole process, such as 4G (default: most of the free memory)")
    window: int = option(0, "maximum window size in voxels (0: the whole brain if memory allows)")
    threads: int = option(0, "CPU threads (0: all cores)")
    operated: bool = option(False, "postoperative case: warn if the model does not know the resection cavity")
    smallest: tuple[str, ...] = option(
        (), "minimum component size per label in ml, such as ET=0.05 ED=0.5; smaller ones are removed"
    )
    force: bool = option(False, "segment despite blocking findings (see the verb check)")
    probabilities: bool = option(False, "also write one probability map per label")
    uncertainty: bool = option(False, "also write an uncertainty map")
    tta: bool = option(False, "test-time augmentation: mean over eight mirrored images (8x slower, slightly better)")
    picture: bool = option(False, "also write an overlay picture")
    intermediates: bool = option(
        False, "also write aligned or resampled images and the brain mask, if they were created"
    )


@dataclass(frozen=True)
class RefineConfig:
    result: str = option("", "a result of segment or refine, CASEID-voxmmsd.nii.gz", positional=True)
    edited: tuple[str, ...] = option((), "the labels as edited, on the result's grid; several of several readers")
    out: str = option("", "folder of the new result")
    reviewed: tuple[str, ...] = option(
        (), "planes gone through whole, such as axial:60 coronal:71-73, or strokes (default: as the edits lie)"
    )
    locked: tuple[str, ...] = option((), "labels that nothing is carried to or from, such as ET")
    case: str = option("", "the case's folder (default: where it was segmented from)")
    brain_mask: str = option("", BRAIN_MASK + " (default: as it was segmented)")
    model: str = option("", "model name, package folder or zip (default: the one that made the result)")
    features: str = option("", "file to keep the case's features in (.npz), for the next round")
    memory: str = option("", "memory it may take in all, such as 4G (default: most of what is free)")
    threads: int = option(0, "CPU threads (0: all cores)")


@dataclass(frozen=True)
class CheckConfig:
    case: str = option("", "folder of one case, or folder of cases", positional=True)
    t1n: str = option("", "T1 image, instead of a folder")
    t1c: str = option("", "contrast-enhanced T1 image")
    t2w: str = option("", "T2 image")
    t2f: str = option("", "FLAIR image")
    id: str = option("", "case id, if images are given one by one")
    brain_mask: str = option("", BRAIN_MASK)
    model: str = option("", "model to check the case against (default: none)")
    operated: bool = option(False, "postoperative case")


@dataclass(frozen=True)
class EvaluateConfig:
    predictions: str = option("", "folder of predicted segmentations; with --subsets, a model", positional=True)
    labels: str = option("", "folder of cases with expert labels", positional=True)
    subsets: bool = option(False, "score a model with all 15 subsets of the modalities and add the table to its card")
    split: str = option(
        "validation", "cases for --subsets: validation or test cases of the model, or others", choices=SUBSET_SPLITS
    )
    device: str = option("auto", "device for --subsets", choices=DEVICES)
    schema: str = option("", "label schema of the labels, if file names do not determine it")
    out: str = option("", "output folder for scores.csv, scores.json and the report")
    protocol: str = option(
        "", "also compute the official lesion-wise scores of BraTS of that year", choices=("", *PROTOCOLS)
    )
    task: str = option("auto", "BraTS task whose rules apply (auto: from the label schema)", choices=TASKS)
    workers: int = option(0, "parallel processes (0: one per core)")


MODEL_ACTIONS = ("list", "import", "export", "accept", "reject", "rollback", "delete", "quantize")


@dataclass(frozen=True)
class ModelsConfig:
    action: str = option("list", "action", choices=MODEL_ACTIONS, positional=True)
    model: str = option("", "package folder, zip, run, or model name", positional=True)
    out: str = option("", "export: zip to write; quantize: folder to write")
    cases: str = option("", "quantize: folder of the labeled cases that the model was trained on")
    force: bool = option(False, "accept a model even if it was found to be worse than its parent")


LIBRARY_ACTIONS = ("add", "list", "accept", "next", "blind", "choose")
ANSWERS = ("first", "second", "equal")


@dataclass(frozen=True)
class LibraryConfig:
    action: str = option("list", "action", choices=LIBRARY_ACTIONS, positional=True)
    library: str = option("", "folder of the training library", positional=True)
    folder: str = option("", "add: folder of cases, or of results of segment", positional=True)
    schema: str = option("", "label schema, if it cannot be determined")
    part: str = option("", "add: use of new patients (default: drawn at random)", choices=("training", "hold-out"))
    hold_out: float = option(0.2, "add, for a new library: fraction of the patients that are held out")
    prefix: str = option("", "add: rename the cases to PREFIX-001, PREFIX-002, ... if their names are not codes")
    case: str = option("", "accept, blind: case id; add: id of a case that is given image by image")
    t1n: str = option("", "add: T1 image, instead of a folder")
    t1c: str = option("", "add: contrast-enhanced T1 image")
    t2w: str = option("", "add: T2 image")
    t2f: str = option("", "add: FLAIR image")
    brain_mask: str = option("", "add: brain mask, for images with a skull")
    result: str = option("", "add: record of the segment result for these images (ID-voxmmsd.json)")
    label: str = option("", "accept, add: file of the corrected label (default of accept: the unchanged prediction)")
    origins: str = option("", "accept, add: who decided each voxel of the label, ID-voxmmsd_origin.nii.gz of refine")
    from_scratch: bool = option(False, "accept: the label was drawn from scratch, not on top of a model's output")
    count: int = option(3, "next: number of cases to suggest")
    old: str = option("", "blind: one model")
    new: str = option("", "blind: the other model")
    pair: str = option("", "choose: number of the pair")
    better: str = option("", "choose: which of the two is better", choices=ANSWERS)


@dataclass(frozen=True)
class VerifyConfig:
    what: str = option("", "run, model or training library to verify (default: all models)", positional=True)


EXPORTS = ("onnx", "torchscript", "monai-bundle")


@dataclass(frozen=True)
class ExportConfig:
    model: str = option(
        "", "model name, package folder, zip or run (default: the most recently accepted model)", positional=True
    )
    to: str = option("onnx", "format", choices=EXPORTS)
    out: str = option("", "file (onnx, torchscript) or folder (monai-bundle) to write")


RUN_ACTIONS = ("list", "show", "watch", "pause", "resume", "cancel", "tensorboard")


@dataclass(frozen=True)
class RunsConfig:
    action: str = option("list", "action", choices=RUN_ACTIONS, positional=True)
    name: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs", positional=True)
    wait: float = option(60.0, "seconds that pause and cancel wait for the run to respond")


@dataclass(frozen=True)
class BundleConfig:
    out: str = option("", "zip to write")
    models: tuple[str, ...] = option((), "models to include (default: the model in use, if any)")
    platform: str = option(
        "", "target platform, such as linux-x86_64, windows-x86_64, macos-arm64 (default: this machine)"
    )
    python: str = option("", "target Python version, such as 3.12 (default: this one)")
    extras: tuple[str, ...] = option((), "optional dependencies to include: train, openvino, formats")
    package: str = option("", "wheel or source folder of voxmmsd (default: the running source)")


@dataclass(frozen=True)
class InstallBundleConfig:
    bundle: str = option("", "zip file", positional=True)


@dataclass(frozen=True)
class DoctorConfig:
    device: str = option("auto", "device to check", choices=DEVICES)


_PRESETS: dict[type, dict[str, dict[str, Any]]] = {
    FinetuneConfig: {
        "tiny": {
            "channels": (8, 16, 32),
            "patch": 32,
            "steps": 30,
            "learning_rate": 3e-3,
            "balanced": 1.0,
            "free_statistics": 1.0,
            "validate_every": 30,
            "checkpoint_every": 10,
        },
        "small": {},
        "paper": {"channels": (32, 64, 128, 256, 512), "patch": 96, "batch": 4, "steps": 20_000},
    },
    PretrainConfig: {
        "tiny": {
            "channels": (8, 16, 32),
            "block": 32,
            "cell": 8,
            "pairs": 256,
            "candidates": 2**16,
            "steps": 30,
            "preview_every": 30,
            "checkpoint_every": 10,
        },
        "small": {},
        "paper": {"channels": (32, 64, 128, 256, 512), "block": 96, "steps": 60_000},
    },
}


# An option's name means the same in every verb, and so do the numbers it may have.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("steps", "patch", "block", "batch", "cell", "pairs", "candidates", "count", "jobs"), (1, math.inf)
    ),
    **dict.fromkeys(("validate_every", "preview_every", "checkpoint_every", "keep"), (1, math.inf)),
    **dict.fromkeys(("keep_every", "workers", "threads", "seed", "window", "margin_voxels"), (0, math.inf)),
    **dict.fromkeys(("learning_rate", "weight_decay", "distillation_weight", "region_dice", "wait"), (0, math.inf)),
    **dict.fromkeys(("warmup", "balanced", "free_statistics", "foreground", "modality_dropout"), (0, 1)),
    **dict.fromkeys(("masked", "dropout", "weight_average"), (0, 1)),
    **dict.fromkeys(("spacing", "spacing_mm"), (0.1, 20)),
    "channels": (1, 4096),
    "percentile": (1, 100),
}


def flag_of(item: dataclasses.Field) -> str:
    """Name of the option without dashes: ``start`` is ``--from``, ``brain_mask`` is ``--brain-mask``."""
    return (item.metadata.get("flag") or item.name).replace("_", "-")


def make_config(
    kind: type[ConfigT], given: dict[str, Any], file: Path | None = None, *, corrects: bool = False
) -> ConfigT:
    """The configuration of a verb from given options, a file and the preset; nothing else is read.

    ``corrects``: the fine-tuning corrects an existing model, which takes a tenth of the preset's steps (see
    ``voxmmsd.training.options``).

    Raises:
        ConfigError: an unknown field, a value of the wrong type, or a file that cannot be read.
    """
    stated = {**(read_config_file(kind, file) if file else {}), **given}
    preset = _PRESETS.get(kind, {}).get(_checked("preset", stated.get("preset", "small"), str), {})
    if corrects:
        preset = {**preset, **_corrected(preset)}
    return config_from_record(kind, {**preset, **stated})


def _corrected(preset: dict[str, Any]) -> dict[str, Any]:
    steps = preset.get("steps", FinetuneConfig.steps) // 10
    every = preset.get("validate_every", FinetuneConfig.validate_every) // 5
    return {"steps": max(10, steps), "validate_every": max(10, every)}


def read_config_file(kind: type, file: Path) -> dict[str, Any]:
    """Fields from a JSON or TOML file; keys may be written as fields or as options (``from``, ``brain-mask``)."""
    try:
        text = file.read_text(encoding="utf-8")
        record = tomllib.loads(text) if file.suffix == ".toml" else parse_json(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file}: cannot be read as a {file.suffix or 'JSON'} configuration ({error})",
            "give a JSON or TOML file of options",
        ) from error
    if not isinstance(record, dict):
        raise ConfigError(
            f"{file}: a configuration is a table of options, this is a {type(record).__name__}", "give names and values"
        )
    names = {flag_of(item): item.name for item in dataclasses.fields(kind)}
    return {names.get(key, key): value for key, value in record.items()}


def config_from_record(kind: type[ConfigT], record: dict[str, Any]) -> ConfigT:
    """Check names and types and build the dataclass (lists become tuples, whole numbers become floats)."""
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(record) - set(fields))
    if unknown:
        raise ConfigError(f"unknown option {', '.join(unknown)}", f"known are {', '.join(fields)}")
    values = {name: _checked(name, value, hints[name]) for name, value in record.items()}
    for name, value in values.items():
        choices = fields[name].metadata.get("choices")
        if choices and value not in choices:
            raise ConfigError(
                f"{flag_of(fields[name])}: {value!r} is not one of {', '.join(choices)}", "choose one of them"
            )
        _check_range(flag_of(fields[name]), name, value)
    return kind(**values)


def _check_range(flag: str, name: str, value: Any) -> None:
    """Raise ConfigError for a number, or one of several, that is out of range."""
    least, most = _RANGES.get(name, (-math.inf, math.inf))
    wanted = "a finite number" if name not in _RANGES else f"{least:g} or more" if most == math.inf else ""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not (abs(number) < math.inf and least <= number <= most):
            raise ConfigError(f"{flag}: {number!r:.40} makes no sense", f"give {wanted or f'{least:g} to {most:g}'}")
    if name == "channels" and not value:
        raise ConfigError(f"{flag}: is empty", "give at least one")


# What to give where an option's value is of another type.
_A_VALUE = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a table"}


def config_to_record(config: Any) -> dict[str, Any]:
    """The configuration as plain values for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _checked(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}", "put it into brackets, as in [1, 2]")
        return tuple(_checked(name, item, inner) for item in value)
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    hint = typing.get_origin(hint) or hint
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(
                f"{name}: a number of {len(str(value))} digits makes no sense", "give a smaller one"
            ) from None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}", f"give {_A_VALUE[hint]}")
    return value
