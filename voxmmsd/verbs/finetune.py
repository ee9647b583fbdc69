"""``voxmmsd finetune``: fine-tune a network. Its options are in ``voxmmsd.training_config``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxmmsd.config import make_config
from voxmmsd.errors import ModelError
from voxmmsd.home import home
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.training_task import check_training
from voxmmsd.verbs.verb import Verb, placed_by

if TYPE_CHECKING:
    from voxmmsd.models.package import ModelInfo


def configured(given: dict[str, Any], file: Path | None = None) -> FinetuneConfig:
    """The configuration of a fine-tuning of what is in the folders now.

    Its numbers are written into the run's configuration; later changes on disk do not affect them.

    Raises: as ``make_config``.
    """
    from voxmmsd.training.options import config_with_channels, correction_config

    config = make_config(FinetuneConfig, given, file)
    if corrects_a_model(config.folders, config.start):
        return correction_config(given, file)
    info = _info_of(config.start) if config.start else None
    return config_with_channels(info.network.channels, given, file) if info else config


def corrects_a_model(folders: Iterable[str], start: str) -> bool:
    """Whether one of the folders is a training library and ``start`` is a segmentation model."""
    from voxmmsd.library.reading import is_library

    return bool(start) and any(is_library(Path(folder)) for folder in folders) and _segments(start)


def _segments(start: str) -> bool:
    """False for a pre-trained network; what cannot be found is assumed to be a segmentation model."""
    info = _info_of(start)
    return info is None or info.segments


def _info_of(start: str) -> ModelInfo | None:
    """The record of the model, of which a package in a folder is not verified; None if there is none, as the training
    will say."""
    from voxmmsd.models.package import read_info
    from voxmmsd.models.registry import resolve_model

    for folder in (Path(start), Path(start) / "model", home() / "runs" / start / "model"):
        with suppress(ModelError):
            return read_info(folder)
    with suppress(ModelError):
        return resolve_model(start).info
    return None


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
