"""What a run says of its model: the comparison with the old one on hold-out patients, or the validation alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPARISON = "comparison.json"
WORSE = "worse"


@dataclass(frozen=True)
class CaseScores:
    """Mean Dice over the regions of a hold-out case by the old and the new model, not-a-number where none has any.

    ``unfair``: why it does not count.
    """

    case_id: str
    old: float
    new: float
    unfair: str

    @property
    def gain(self) -> float:
        return self.new - self.old

    @property
    def counts(self) -> bool:
        return not self.unfair and math.isfinite(self.gain)


@dataclass(frozen=True)
class Comparison:
    """A run's result as the panel shows it; without an old model ``old`` is empty and every first number None, and
    ``text`` says on which cases the new one was scored."""

    folder: Path
    model: str
    schema: str
    old: str
    outcome: str
    text: str
    few: bool
    patients: int
    regions: Mapping[str, tuple[float | None, float | None]]
    cases: tuple[CaseScores, ...]

    @property
    def is_worse(self) -> bool:
        return self.outcome == WORSE


def read_comparison(folder: Path) -> Comparison:
    """What the run in ``folder`` left; a model that was compared with none has its own scores instead."""
    model = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    known = {"folder": folder, "model": model["id"], "schema": model["schema"]}
    file = folder / COMPARISON
    if not file.is_file():
        part = next((name for name in ("hold-out", "validation") if name in model["scores"]), "")
        scores: dict[str, Any] = model["scores"].get(part, {})
        regions = {key: (None, value) for key, value in scores.get("regions", {}).items()}
        text = f"{scores.get('cases', '?')} {part}" if part else ""
        return Comparison(**known, old="", outcome="", text=text, few=False, patients=0, regions=regions, cases=())
    record = json.loads(file.read_text(encoding="utf-8"))
    cases = [CaseScores(c["case_id"], _mean(c["old"]), _mean(c["new"]), c.get("unfair", "")) for c in record["cases"]]
    return Comparison(
        **known,
        old=record["old"],
        outcome=record["outcome"],
        text=record["text"],
        few=bool(record.get("few")),
        patients=int(record.get("patients") or 0),
        regions={key: tuple(pair) for key, pair in record["regions"].items()},
        cases=tuple(sorted(cases, key=lambda case: (not case.counts, _sortable(case.gain)))),
    )


def library_of(comparison: Comparison) -> Path:
    """The library that the run learned from; of a job that came back from a server, the copy beside the run."""
    config = json.loads((comparison.folder / "config.json").read_text(encoding="utf-8"))
    places = (Path(config["directory"]), comparison.folder.parent)
    folders = [place / folder for place in places for folder in config["options"]["folders"]]
    return next((folder for folder in folders if (folder / "library.json").is_file()), folders[0])


def _mean(scores: Mapping[str, float | None]) -> float:
    values = [value for value in scores.values() if value is not None and math.isfinite(value)]
    return sum(values) / len(values) if values else math.nan


def _sortable(value: float) -> float:
    return value if math.isfinite(value) else math.inf
