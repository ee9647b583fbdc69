"""Write a model package from a finished training, with its history in ``model.json`` and the model card."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.compute.devices import Precision, choose_device
from voxmmsd.config import Affects, config_to_record, options_that
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.data.tumor_bank import TumorBank
from voxmmsd.evaluation.volume_errors import Errors
from voxmmsd.ids import safe_id
from voxmmsd.labels import MODALITIES
from voxmmsd.model_config import NetworkConfig
from voxmmsd.models.learned import BANK, hashed_patient, patient_for_record
from voxmmsd.models.package import ModelInfo, ModelPackage, read_package
from voxmmsd.models.provenance import INHERITED
from voxmmsd.models.subsets import VOLUMES
from voxmmsd.models.weights import pack_network, pack_pretrained
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.runs import RunLog, versions
from voxmmsd.training.init_weights import WeightTransfer
from voxmmsd.training.validation import segment_window
from voxmmsd.training_config import FinetuneConfig, PretrainConfig, TrainingConfig

LIMITS = "Skull-stripped, co-registered MRI of about the training cases' kind; research use only, not a medical device."


@dataclass(frozen=True)
class Best:
    """The network that is kept so far: its step, validation Dice, and that per region and, of several data sets, per
    cohort."""

    step: int = 0
    dice: float = -1.0
    regions: dict[str, float] = field(default_factory=dict)
    cohorts: dict[str, dict[str, float]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    """What a fine-tuning results in: the network, its scores, and what went into it besides the cases."""

    network: SegmentationNetwork
    best: Best
    transfer: WeightTransfer | None = None
    bank: TumorBank | None = None


@dataclass(frozen=True)
class RecordExtras:
    """Entries added to the record of a package: to ``training``, ``scores`` that replace those of validation, and the
    median errors of the ``volumes`` of the validation cases."""

    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    volumes: Errors = field(default_factory=dict)


def pack_model(
    trained: Trained,
    config: FinetuneConfig,
    run: RunLog,
    splits: Splits,
    entries: Sequence[PreparedCase],
    extras: RecordExtras | None = None,
) -> ModelPackage:
    """Write ``RUN/model``; a complete one from an interrupted call is kept."""
    folder = run.folder / "model"
    if folder.exists():
        return read_package(folder)
    best, transfer, bank = trained.best, trained.transfer, trained.bank
    validated = {"validation": {"cases": len(splits.validation), "regions": best.regions, "step": best.step}}
    if best.cohorts:
        validated["validation"]["cohorts"] = best.cohorts
    if extras is not None and extras.volumes:
        validated["validation"][VOLUMES] = extras.volumes
    info = _info(
        config,
        run,
        entries,
        parent=transfer.model if transfer else None,
        schema=entries[0].label_schema().name,
        window=segment_window(config.patch),
        training={
            "verb": "finetune",
            "cases": {"train": list(splits.train), "validation": list(splits.validation), "test": list(splits.test)},
            "patients": {
                **{part: _patients(getattr(splits, part), entries) for part in ("train", "validation", "test")},
                **({BANK: sorted({hashed_patient(name.casefold()) for name in bank.patients})} if bank else {}),
            },
            **({BANK: f"{len(bank.patients)} tumors of {len(set(bank.patients))} patients"} if bank else {}),
            "best_step": best.step,
            "start": transfer.report() if transfer else "from scratch",
            **({INHERITED: transfer.learned.record()} if transfer else {}),
            **(extras.training if extras else {}),
        },
        scores=validated if extras is None or extras.scores is None else extras.scores,
    )
    run.progress(config.steps, "exporting")
    return pack_network(folder, trained.network, info)


def pack_start(unet: UNet3d, config: PretrainConfig, run: RunLog, entries: Sequence[PreparedCase]) -> ModelPackage:
    """Write a pre-trained network as ``RUN/model``; a complete one from an interrupted call is kept."""
    folder = run.folder / "model"
    if folder.exists():
        return read_package(folder)
    ids = [entry.id for entry in entries]
    training = {
        "verb": "pretrain",
        "cases": {"unlabelled": ids},
        "patients": {"unlabelled": _patients(ids, entries)},
    }
    info = _info(config, run, entries, parent=None, schema="", window=config.block, training=training, scores={})
    return pack_pretrained(folder, unet, info)


def _info(
    config: FinetuneConfig | PretrainConfig,
    run: RunLog,
    entries: Sequence[PreparedCase],
    *,
    parent: str | None,
    schema: str,
    window: int,
    training: dict[str, Any],
    scores: dict[str, Any],
) -> ModelInfo:
    name = safe_id(config.name or run.folder.resolve().name)
    created = now()
    # A package carries no paths of its maker's machine; what is for the card stands there.
    elsewhere = options_that(config, (Affects.INPUT, Affects.PLACE, Affects.CARD))
    how = {
        "options": {k: v for k, v in config_to_record(config).items() if k not in elsewhere},
        "sources": config.data_sources or "not stated",
        "hardware": _hardware(config),
        "versions": versions(),
    }
    return ModelInfo(
        id=f"{name}-{created.replace(':', '').replace('-', '')[:15]}",
        name=name,
        version=voxmmsd.__version__,
        parent=parent,
        created=created,
        network=NetworkConfig.of(config.channels),
        schema=schema,
        modalities=MODALITIES,
        preprocess=entries[0].preprocess,
        window=window,
        training={**training, **how},
        scores=scores,
        licence=config.license or "not stated: it depends on the terms of the training data",
        limits=LIMITS,
        files={},
    )


def _patients(ids: Sequence[str], entries: Sequence[PreparedCase]) -> list[str]:
    named = {entry.id: patient_for_record(entry) for entry in entries}
    return sorted({named[id_] for id_ in ids})


def _hardware(config: TrainingConfig) -> str:
    """The hardware used: the GPU, else the type of processor and its number of cores; and the precision."""
    chosen = choose_device(config.device)
    precision = Precision(chosen, config.precision).name
    if chosen.type == "cuda":
        return f"{torch.cuda.get_device_name(chosen)} ({torch.cuda.device_count()} there), {precision}"
    return f"{chosen.type}: {platform.machine()}, {os.cpu_count()} cores, {precision}"
