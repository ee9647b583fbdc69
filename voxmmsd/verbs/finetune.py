"""``voxmmsd finetune``: fine-tune a network. Its options are in ``voxmmsd.training_config``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.training_task import check_training
from voxmmsd.verbs.verb import Verb, placed_by


def configured(given: dict[str, Any], file: Path | None) -> FinetuneConfig:
    from voxmmsd.training.options import finetune_config

    return finetune_config(given, file)


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
