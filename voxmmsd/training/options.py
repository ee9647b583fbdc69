"""Options of a fine-tuning; some defaults depend on the model that it starts from.

Standard library only, so that the command line and the panels can use it before heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxmmsd.config import Presets, make_config
from voxmmsd.training_config import FinetuneConfig


def _fewer_steps(preset: Mapping[str, Any]) -> dict[str, Any]:
    steps = preset.get("steps", FinetuneConfig.steps) // 10
    every = preset.get("validate_every", FinetuneConfig.validate_every) // 5
    fewer = {"steps": max(10, steps), "validate_every": max(10, every)}
    return {**preset, **fewer, "region_dice": 0.0}  # not shown to help a network that has learned


_FOR_CORRECTIONS: Presets = {name: _fewer_steps(preset) for name, preset in FinetuneConfig.PRESETS.items()}


def correction_config(given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """Like ``make_config(FinetuneConfig, ...)``, for a model that is corrected: in a tenth of the preset's steps.

    Raises: as ``make_config``.
    """
    return make_config(FinetuneConfig, given, file, presets=_FOR_CORRECTIONS)


def config_with_channels(channels: tuple[int, ...], given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """Like ``make_config(FinetuneConfig, ...)``, with these channels in each preset: those of the initial model.

    Raises: as ``make_config``.
    """
    presets = {name: {**preset, "channels": channels} for name, preset in FinetuneConfig.PRESETS.items()}
    return make_config(FinetuneConfig, given, file, presets=presets)
