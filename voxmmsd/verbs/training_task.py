"""What the verbs of training share: the folders that are checked, and a training that a file of options describes."""

from __future__ import annotations

from dataclasses import replace

from voxmmsd.errors import ConfigError
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.verbs.verb import existing, require

TASKS = ("pretrain", "finetune")


def check_training(config: FinetuneConfig | PretrainConfig, what: str) -> None:
    """Raises ConfigError if no folder or no run is given, InputError if a folder is not there."""
    if not config.folders:
        raise ConfigError("no folder to learn from is given", f"name at least one {what}")
    for folder in config.folders:
        existing(folder)
    require(config.run, "--run DIR")


def training_of(task: str, options: str) -> FinetuneConfig | PretrainConfig:
    """The configuration from an options file; the run may still be unnamed."""
    from voxmmsd.verbs import find_verb

    training = find_verb(task).configured({}, require(options, "OPTIONS.json"))
    training = replace(training, run=training.run or task)
    check_training(training, "folder of cases")
    return training
