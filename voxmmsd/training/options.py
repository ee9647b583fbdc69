"""Options of a fine-tuning; the default number of steps depends on whether it corrects a model.

Standard library only, so that the command line and the panels can use it before heavy imports. The numbers are fixed in
the configuration of the run when it starts; later changes on disk do not affect them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from voxmmsd.config import LIBRARY_RECORD, Presets, make_config
from voxmmsd.files import read_json
from voxmmsd.home import home
from voxmmsd.training_config import FinetuneConfig

_MODEL_RECORD = "model.json"  # a folder that holds it is a model package


def _fewer_steps(preset: Mapping[str, Any]) -> dict[str, Any]:
    steps = preset.get("steps", FinetuneConfig.steps) // 10
    every = preset.get("validate_every", FinetuneConfig.validate_every) // 5
    return {**preset, "steps": max(10, steps), "validate_every": max(10, every)}


_FOR_CORRECTIONS: Presets = {name: _fewer_steps(preset) for name, preset in FinetuneConfig.PRESETS.items()}


def finetune_config(given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """Like ``make_config``; a model is corrected in a tenth of the preset's steps.

    Raises: as ``make_config``.
    """
    config = make_config(FinetuneConfig, given, file)
    if not corrects_a_model(config.folders, config.start):
        return config
    return make_config(FinetuneConfig, given, file, presets=_FOR_CORRECTIONS)


def corrects_a_model(folders: Iterable[str], start: str) -> bool:
    """Whether one of the folders is a training library and ``start`` is a segmentation model."""
    return bool(start) and any((Path(folder) / LIBRARY_RECORD).is_file() for folder in folders) and _segments(start)


def _segments(start: str) -> bool:
    """False for a pre-trained network, whose record has no schema. A name in the registry is assumed to be a
    segmentation model."""
    for folder in (Path(start), Path(start) / "model", home() / "runs" / start / "model"):
        try:
            return bool(read_json(folder / _MODEL_RECORD).get("schema"))
        except (OSError, ValueError, AttributeError):
            continue
    return True
