"""What each stage of segmenting one case costs, in a process of its own: which ``segment.py --split`` starts.

    python -P benchmarks/stage_costs.py cold|warm MODEL CASE OUT THREADS STARTED

The process may run any version of the package that PYTHONPATH names. ``cold`` is the command line, from the start of
the process to its end; ``warm`` is a second case with the engine open and everything loaded, one stage after the
other, where the command line checks a case while it prepares it (then both are ``findings``). A stage lasts until the
next one begins, so that the stages add up to the whole: ``start`` (imports, model, engine), ``read``, ``findings``,
``prepare``, ``network`` (the engine alone), ``back`` (labels on the grid of the input, review list, checks of the
result) and ``write``. Where one stage works in the background of another, its CPU seconds count to the other.
One line of JSON goes out: stage -> [wall seconds, CPU seconds of all threads].
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGES = ("start", "read", "findings", "prepare", "network", "back", "write")


class Clock:
    """Adds up what passes between marks, by stage."""

    def __init__(self, started: float) -> None:
        self.costs = {stage: [0.0, 0.0] for stage in STAGES}
        self.stage = "start"
        self._since = (started, 0.0)

    def enter(self, stage: str) -> None:
        now = (time.time(), time.process_time())
        for which in range(2):
            self.costs[self.stage][which] += now[which] - self._since[which]
        self.stage, self._since = stage, now

    def wrapped(self, function: Callable[..., Any], during: str, after: str = "", only_in: str = "") -> Any:
        """The function, which enters a stage when called, and another when it returns."""

        def call(*given: Any, **named: Any) -> Any:
            if only_in and self.stage != only_in:
                return function(*given, **named)
            self.enter(during)
            try:
                return function(*given, **named)
            finally:
                if after:
                    self.enter(after)

        return call


def watch(clock: Clock) -> None:
    """Let the functions at which stages begin tell the clock; both versions of the package have them."""
    from voxmmsd.inference import stages
    from voxmmsd.inference.engines import OnnxEngine, OpenVinoEngine

    stages.read_case = clock.wrapped(stages.read_case, "read")
    stages.look_first = clock.wrapped(stages.look_first, "findings", "prepare")
    stages.write_prediction = clock.wrapped(stages.write_prediction, "write")
    for engine in (OnnxEngine, OpenVinoEngine):
        engine.logits = clock.wrapped(engine.logits, "network", "back", only_in="prepare")  # type: ignore[method-assign]


def cold(clock: Clock, model: str, case: str, out: Path, threads: str) -> None:
    from voxmmsd.cli import main

    watch(clock)
    code = main(["segment", case, "--model", model, "--out", str(out), "--threads", threads])
    if code:
        sys.exit(f"segment ended with {code}")


def warm(clock: Clock, model: str, folder: str, out: Path, threads: str) -> None:
    import voxmmsd.cli  # noqa: F401  # which decides how many threads linear algebra has
    from voxmmsd.data.cases import find_cases
    from voxmmsd.inference import stages
    from voxmmsd.inference.engines import open_engine
    from voxmmsd.inference.plausibility import check_result
    from voxmmsd.inference.predict import predict
    from voxmmsd.models.registry import resolve_model

    watch(clock)
    package = resolve_model(model)
    engine = open_engine(package, threads=int(threads))
    case = find_cases(Path(folder)).cases[0]
    for number in range(2):
        place = out / str(number)
        place.mkdir(parents=True)
        for stage in STAGES if number else ():
            clock.costs[stage] = [0.0, 0.0]
        volumes = stages.read_case(case, with_label=False)
        findings = stages.look_first(volumes, package)
        prediction = predict(volumes, package, engine)
        of_result = check_result(prediction, findings)
        stages.write_prediction(prediction, place, 0.0, (*findings, *of_result))
        clock.enter("start")
    clock.costs["start"] = [0.0, 0.0]


def main() -> None:
    how, model, case, out, threads, started = sys.argv[1:]
    clock = Clock(float(started))
    {"cold": cold, "warm": warm}[how](clock, model, case, Path(out), threads)
    clock.enter("start")
    print(json.dumps(clock.costs), flush=True)


if __name__ == "__main__":
    main()
