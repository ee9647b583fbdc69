"""``voxmmsd finetune``: fine-tune a network. Its options are in ``voxmmsd.training_config``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxmmsd.config import make_config
from voxmmsd.files import read_json
from voxmmsd.home import home
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.training_task import check_training
from voxmmsd.verbs.verb import Verb, placed_by


def configured(given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """The configuration of a fine-tuning of what is in the folders now.

    Its numbers are written into the run's configuration; later changes on disk do not affect them.

    Raises: as ``make_config``.
    """
    from voxmmsd.training.options import correction_config

    config = make_config(FinetuneConfig, given, file)
    return correction_config(given, file) if corrects_a_model(config.folders, config.start) else config


def corrects_a_model(folders: Iterable[str], start: str) -> bool:
    """Whether one of the folders is a training library and ``start`` is a segmentation model."""
    from voxmmsd.library.reading import is_library

    return bool(start) and any(is_library(Path(folder)) for folder in folders) and _segments(start)


def _segments(start: str) -> bool:
    """False for a pre-trained network, whose record has no schema. A name in the registry is assumed to be a
    segmentation model."""
    from voxmmsd.models.package import RECORD

    for folder in (Path(start), Path(start) / "model", home() / "runs" / start / "model"):
        try:
            return bool(read_json(folder / RECORD).get("schema"))
        except (OSError, ValueError, AttributeError):
            continue
    return True


def run(config: FinetuneConfig) -> None:
    check_training(config, "folder of labeled cases")
    from voxmmsd.corrections.labels import library_of
    from voxmmsd.corrections.propose import retune
    from voxmmsd.training.finetune import finetune

    library = library_of(config)
    print(retune(config, library) if library else finetune(config))


VERB = placed_by(
    Verb("finetune", "fine-tune a network on a few labeled cases", FinetuneConfig, run, configure=configured), "run"
)
