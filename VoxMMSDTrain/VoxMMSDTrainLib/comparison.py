"""What a run says of its model: the comparison with the old one on hold-out patients, or the validation alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voxmmsd.corrections.verdict import COMPARISON, HoldOutCase, Outcome, read_comparison
from voxmmsd.errors import RunError
from voxmmsd.models.package import ModelInfo, read_info
from voxmmsd.runs import read_config


@dataclass(frozen=True)
class RunResult:
    """A run's result as the panel shows it; without an old model ``old`` is empty and every first number None, and
    ``text`` says on which cases the new one was scored. ``cases``: those that count first, the worst of them at the
    top."""

    folder: Path
    model: str
    schema: str
    old: str = ""
    outcome: Outcome | None = None
    text: str = ""
    sure: bool = False
    few: bool = False
    patients: int = 0
    regions: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    cases: tuple[HoldOutCase, ...] = ()

    @property
    def is_worse(self) -> bool:
        return self.outcome == Outcome.WORSE


def read_run_result(folder: Path) -> RunResult:
    """What the run in ``folder`` left; a model that was compared with none has its own scores instead.

    Raises:
        ModelError, RunError: a record is missing or damaged.
    """
    info, compared = read_info(folder / "model"), read_comparison(folder / COMPARISON)
    if compared is None:
        text, regions = _own_scores(info)
        return RunResult(folder, info.id, info.schema, text=text, regions=regions)
    verdict = compared.verdict
    return RunResult(
        folder,
        info.id,
        info.schema,
        old=compared.old,
        outcome=verdict.outcome,
        text=verdict.text,
        sure=verdict.sure,
        few=verdict.few,
        patients=verdict.patients,
        regions=verdict.regions,
        cases=tuple(sorted(compared.cases, key=_worst_first)),
    )


def _own_scores(info: ModelInfo) -> tuple[str, dict[str, tuple[None, float]]]:
    part = next((name for name in ("hold-out", "validation") if name in info.scores), "")
    scores = info.scores.get(part, {})
    text = f"{scores.get('cases', '?')} {part}" if part else ""
    return text, {key: (None, value) for key, value in scores.get("regions", {}).items()}


def _worst_first(case: HoldOutCase) -> tuple[bool, float]:
    return not case.counts, case.gain if math.isfinite(case.gain) else math.inf


def library_of(result: RunResult) -> Path:
    """The library that the run learned from; of a job that came back from a server, the copy beside the run.

    Raises:
        RunError: the run has no record of its options.
    """
    from voxmmsd.library import is_library

    config = read_config(result.folder)
    if config is None:
        raise RunError(f"{result.folder}: its options are not recorded", "choose another run")
    places = (Path(config["directory"]), result.folder.parent)
    folders = [place / folder for place in places for folder in config["options"]["folders"]]
    return next((folder for folder in folders if is_library(folder)), folders[0])
