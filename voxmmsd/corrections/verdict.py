"""Compare a new model with an old one on held-out patients: outcome and certainty, in words.

A label drawn on top of the output of one of the two models favors that model, and a case that the old model was trained
on favors the old one: such cases are listed and not counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.errors import RunError
from voxmmsd.evaluation.means import nan_mean
from voxmmsd.files import read_json, without_nan, write_json_atomic

SAME = 0.005  # of Dice: less counts as equal
FORMAT = 1
COMPARISON = "comparison.json"  # in the run folder, once it is finished
FEW = 3  # fair patients under which two unnamed segmentations say more
CONFIDENCE = 0.95


class Outcome(StrEnum):
    """What the new model is, against the old one."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "alike"
    UNKNOWN = "unknown"


BETTER, WORSE, ALIKE, UNKNOWN = Outcome


@dataclass(frozen=True)
class HoldOutCase:
    """Dice per region of the old and the new model; NaN if the reference region is empty.

    ``unfair``: why the case is not counted, as text; empty if it is.
    """

    case_id: str
    patient: str
    old: Mapping[str, float]
    new: Mapping[str, float]
    unfair: str = ""

    @property
    def gain(self) -> float:
        """Mean over the regions of the difference; NaN if no region could be scored."""
        return nan_mean(self.new[key] - self.old[key] for key in self.old)

    @property
    def counts(self) -> bool:
        """Whether the case is part of the verdict."""
        return not self.unfair and math.isfinite(self.gain)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> HoldOutCase:
        """What ``asdict`` and ``without_nan`` gave."""
        scores = {
            name: {key: math.nan if value is None else float(value) for key, value in record[name].items()}
            for name in ("old", "new")
        }
        return cls(str(record["case_id"]), str(record["patient"]), **scores, unfair=str(record.get("unfair", "")))


@dataclass(frozen=True)
class Verdict:
    """``outcome``: better, worse, alike or unknown, by the mean alone; ``sure``: 0 is outside the confidence interval.

    ``difference``: mean over the fair patients, ``interval`` its 95 % interval (Student's t; None under two patients).
    ``regions``: key -> mean Dice of the old and of the new model over the fair cases, None where none has the region.
    ``few``: too few fair patients to judge by: let an expert choose between unnamed segmentations.
    """

    outcome: Outcome
    text: str
    sure: bool
    few: bool
    patients: int
    better: int
    worse: int
    difference: float | None
    interval: tuple[float, float] | None
    regions: Mapping[str, tuple[float | None, float | None]]
    unfair: Mapping[str, str]

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Verdict:
        """What ``record`` gave, or an earlier version that lacks some of it."""
        interval = record.get("interval")
        return cls(
            outcome=Outcome(record["outcome"]),
            text=str(record["text"]),
            sure=bool(record.get("sure")),
            few=bool(record.get("few")),
            patients=int(record.get("patients") or 0),
            better=int(record.get("better") or 0),
            worse=int(record.get("worse") or 0),
            difference=record.get("difference"),
            interval=(float(interval[0]), float(interval[1])) if interval else None,
            regions={key: (old, new) for key, (old, new) in record["regions"].items()},
            unfair=dict(record.get("unfair", {})),
        )


@dataclass(frozen=True)
class ComparisonRecord:
    """``comparison.json`` in the folder of a finished run: the comparison with the model ``old``."""

    old: str
    verdict: Verdict
    cases: tuple[HoldOutCase, ...]

    def summary(self) -> dict[str, Any]:
        """What the record of the new model holds of it, as plain values."""
        return without_nan({"old": self.old, **self.verdict.record()})

    def write(self, file: Path) -> None:
        cases = without_nan([asdict(case) for case in self.cases])
        write_json_atomic(file, {"format": FORMAT, **self.summary(), "cases": cases})


def read_comparison(file: Path) -> ComparisonRecord | None:
    """The comparison of a run, None if it was compared with no model.

    Raises:
        RunError: it is not such a record.
    """
    try:
        record = read_json(file)
        cases = tuple(HoldOutCase.of(case) for case in record["cases"])
        return ComparisonRecord(str(record["old"]), Verdict.of(record), cases)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file}: is not the record of a comparison ({error!r:.200})", "compare by a new run") from error


def judge(cases: Sequence[HoldOutCase]) -> Verdict:
    """The verdict over the fair cases, with equal weight per patient."""
    fair = [case for case in cases if case.counts]
    by_patient: dict[str, list[float]] = defaultdict(list)
    for case in fair:
        by_patient[case.patient].append(case.gain)
    gains = np.array([np.mean(values) for values in by_patient.values()])
    better, worse = int((gains > SAME).sum()), int((gains < -SAME).sum())
    difference = float(gains.mean()) if len(gains) else None
    interval = _interval(gains)
    sure = interval is not None and (interval[0] > 0 or interval[1] < 0)
    outcome = _outcome(difference)
    return Verdict(
        outcome=outcome,
        text=_in_words(len(gains), better, worse, difference, interval, sure) + _left_out(cases, len(fair)),
        sure=sure,
        few=len(gains) < FEW,
        patients=len(gains),
        better=better,
        worse=worse,
        difference=difference,
        interval=interval,
        regions=_regions(fair),
        unfair={case.case_id: case.unfair for case in cases if case.unfair},
    )


def _outcome(difference: float | None) -> Outcome:
    if difference is None:
        return UNKNOWN
    return BETTER if difference > SAME else WORSE if difference < -SAME else ALIKE


def _interval(gains: np.ndarray) -> tuple[float, float] | None:
    if len(gains) < 2:
        return None
    from scipy import stats

    reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains))
    return float(gains.mean() - reach), float(gains.mean() + reach)


def _in_words(
    count: int,
    better: int,
    worse: int,
    difference: float | None,
    interval: tuple[float, float] | None,
    sure: bool,
) -> str:
    if difference is None:
        return "no comparison is possible: no hold-out patient is eligible"
    if worse > better:
        counted = f"worse on {worse} of {count} hold-out patients"
    else:
        counted = f"better on {better} of {count} hold-out patients"
    spread = f", 95 % interval {interval[0]:+.3f} to {interval[1]:+.3f}" if interval else ""
    return f"{counted} (mean Dice {difference:+.3f}{spread}); {_certainty(sure, count)}"


def _certainty(sure: bool, count: int) -> str:
    if sure and count >= FEW:
        return "statistically significant"
    return "too few to be sure" if count <= 5 else "not statistically significant"


def _left_out(cases: Sequence[HoldOutCase], fair: int) -> str:
    left = len(cases) - fair
    return f"; {left} of {len(cases)} hold-out cases do not count" if left else ""


def _regions(fair: Sequence[HoldOutCase]) -> dict[str, tuple[float | None, float | None]]:
    keys = dict.fromkeys(key for case in fair for key in case.old)
    return {key: (_or_none(case.old[key] for case in fair), _or_none(case.new[key] for case in fair)) for key in keys}


def _or_none(values: Iterable[float]) -> float | None:
    mean = nan_mean(values)
    return mean if math.isfinite(mean) else None
