"""``voxmmsd estimate``: what a training would need here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.verbs.training_task import TASKS, training_of
from voxmmsd.verbs.verb import Verb


@dataclass(frozen=True)
class EstimateConfig:
    task: str = option("finetune", "verb to estimate", choices=TASKS, positional=True)
    options: str = option("", "JSON or TOML file with the options of that verb", affects=Affects.INPUT, positional=True)
    json: bool = option(False, "print JSON instead of text")


def run(config: EstimateConfig) -> None:
    training = training_of(config.task, config.options)
    from voxmmsd.planning.estimate import estimate

    found = estimate(training)
    print(json.dumps(found.record()) if config.json else found.text())


VERB = Verb(
    "estimate", "estimate the time, memory and disk space that a training needs on this machine", EstimateConfig, run
)
