"""``voxmmsd job``: pack a training for another machine."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.verbs.training_task import TASKS, training_of
from voxmmsd.verbs.verb import Verb, require


@dataclass(frozen=True)
class JobConfig:
    task: str = option("finetune", "verb to run on the other machine", choices=TASKS, positional=True)
    options: str = option("", "JSON or TOML file with the options of that verb", affects=Affects.INPUT, positional=True)
    out: str = option("", "output folder, new or empty", affects=Affects.PLACE)


def run(config: JobConfig) -> None:
    training, out = training_of(config.task, config.options), require(config.out, "--out DIR")
    from voxmmsd.planning.job import export_job

    print(export_job(training, out))


VERB = Verb("job", "pack a training as a folder for a GPU server", JobConfig, run)
