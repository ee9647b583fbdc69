"""The options of a fine-tuning: how many steps it takes depends on whether it corrects a model on a training library.

Standard library only, so that the command line and the panels can ask before anything heavy is loaded. The numbers are
fixed in the run's configuration when it starts; what lies on the disk later does not change them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxmmsd.config import LIBRARY_RECORD, FinetuneConfig, make_config
from voxmmsd.files import read_json
from voxmmsd.home import home

_MODEL_RECORD = "model.json"  # a folder that holds it is a model package


def finetune_config(given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """As ``make_config``; with the presets of a correction where a model is corrected.

    Raises: as ``make_config``.
    """
    config = make_config(FinetuneConfig, given, file)
    if not corrects_a_model(config.folders, config.start):
        return config
    return make_config(FinetuneConfig, given, file, corrects=True)


def corrects_a_model(folders: Iterable[str], start: str) -> bool:
    """Whether one of the folders is a training library and ``start`` a model that segments."""
    return bool(start) and any((Path(folder) / LIBRARY_RECORD).is_file() for folder in folders) and _segments(start)


def _segments(start: str) -> bool:
    """False for a pre-trained network, whose record names no schema. A name that only the registry knows is taken for a
    model that segments."""
    for folder in (Path(start), Path(start) / "model", home() / "runs" / start / "model"):
        try:
            return bool(read_json(folder / _MODEL_RECORD).get("schema"))
        except (OSError, ValueError, AttributeError):
            continue
    return True
