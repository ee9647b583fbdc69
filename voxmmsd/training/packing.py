"""From a finished fine-tuning to a model package: what happened goes into ``model.json`` and the card."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import voxmmsd
from voxmmsd.config import FinetuneConfig, NetworkConfig, config_to_record
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import Entry
from voxmmsd.labels import MODALITIES
from voxmmsd.models.package import ModelInfo, ModelPackage, read_package
from voxmmsd.models.weights import pack_network
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.runs import Run, now, versions
from voxmmsd.training.initial import Taken

LIMITS = "Skull-stripped, co-registered MRI of about the training cases' kind; research use only, not a medical device."


def pack_model(
    network: SegmentationNetwork,
    config: FinetuneConfig,
    run: Run,
    splits: Splits,
    entries: Sequence[Entry],
    best: dict[str, Any],
    taken: Taken | None,
) -> ModelPackage:
    """Write ``RUN/model``; one that an interrupted call left whole is kept."""
    folder = run.folder / "model"
    if folder.exists():
        return read_package(folder)
    name = config.name or run.folder.resolve().name
    created = now()
    info = ModelInfo(
        id=f"{name}-{created.replace(':', '').replace('-', '')[:15]}",
        name=name,
        version=voxmmsd.__version__,
        parent=taken.model if taken else None,
        created=created,
        network=NetworkConfig.of(config.channels),
        schema=entries[0].label_schema().name,
        modalities=MODALITIES,
        preprocess=entries[0].preprocess,
        window=max(config.patch, SEGMENT_WINDOW),
        training=_training_record(config, splits, best, taken),
        scores={"validation": {"cases": len(splits.validation), "regions": best["regions"], "step": best["step"]}},
        licence="not stated: it depends on the terms of the training data",
        limits=LIMITS,
        files={},
    )
    run.progress(config.steps, "exporting")
    return pack_network(folder, network, info)


SEGMENT_WINDOW = 128


def _training_record(
    config: FinetuneConfig, splits: Splits, best: dict[str, Any], taken: Taken | None
) -> dict[str, Any]:
    return {
        "verb": "finetune",
        "options": {k: v for k, v in config_to_record(config).items() if k not in _PATHS},
        "cases": {"train": list(splits.train), "validation": list(splits.validation), "test": list(splits.test)},
        "best_step": best["step"],
        "start": taken.report() if taken else "from scratch",
        "hardware": f"{platform.machine()}, {config.device}",
        "versions": versions(),
    }


_PATHS = frozenset({"folders", "run", "start", "splits", "store"})  # a package carries no paths of its maker's machine
