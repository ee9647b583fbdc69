"""``voxmmsd compare``: run a label-efficiency experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, placed_by, require


@dataclass(frozen=True)
class CompareConfig:
    experiment: str = option("", "TOML file that describes the experiment", affects=Affects.INPUT, positional=True)
    run: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs", affects=Affects.PLACE)
    test: bool = option(False, "score the test cases instead of the validation cases (only once, at the end)")
    jobs: int = option(
        1,
        "number of parallel trainings; they share the GPU or the CPU cores",
        range=(1, math.inf),
        affects=Affects.SPEED,
    )


def run(config: CompareConfig) -> None:
    require(config.experiment, "EXPERIMENT.toml")
    require(config.run, "--run DIR")
    from voxmmsd.experiment.run import compare

    print(compare(Path(config.experiment), config.run, test=config.test, jobs=config.jobs))


VERB = placed_by(
    Verb("compare", "run a label-efficiency experiment: what pre-training gains with few labels", CompareConfig, run),
    "run",
)
