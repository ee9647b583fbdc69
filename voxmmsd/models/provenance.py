"""What ``ModelInfo.training`` says of a model's history, as a type. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LIBRARY, COMPARISON, CALIBRATION, INHERITED = "library", "comparison", "calibration", "inherited"  # keys


@dataclass(frozen=True)
class LibraryUse:
    """What a model learned from a training library. ``labels``: case id -> number of the label that it learned."""

    id: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class ComparisonSummary:
    """How a model was found against the model ``old`` on held-out patients."""

    old: str
    outcome: str
    text: str
    regions: Mapping[str, tuple[float | None, float | None]]
    unfair: Mapping[str, str]


@dataclass(frozen=True)
class Inherited:
    """What the ancestors of a model learned from. ``unknown``: ids of ancestors whose records could not be found."""

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Provenance:
    """The history of a model as far as it is recorded; what an earlier version did not record is empty or None.

    ``cases`` and ``patients``: ids by part (``train``, ``validation``, ``test``, "unlabelled", ``tumor_bank``).
    ``temperature``: of the probabilities.
    """

    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    library: LibraryUse | None = None
    comparison: ComparisonSummary | None = None
    inherited: Inherited | None = None
    temperature: float = 1.0

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Provenance:
        """Read ``training``, which has no fixed form: what is not as expected counts as not recorded.

        Raises:
            ValueError: a temperature that is not a number.
        """
        library, compared = _table(training.get(LIBRARY)), _table(training.get(COMPARISON))
        inherited = training.get(INHERITED)
        return cls(
            cases=_ids(training.get("cases")),
            patients=_ids(training.get("patients")),
            library=LibraryUse(str(library.get("id")), dict(_table(library.get("labels")))) if library else None,
            comparison=_comparison(compared) if compared else None,
            inherited=_inherited(inherited) if isinstance(inherited, Mapping) else None,
            temperature=float(_table(training.get(CALIBRATION)).get("temperature", 1.0)),
        )

    def learned_labels(self, library: str) -> Mapping[str, int]:
        """The labels of this library that the model learned."""
        return self.library.labels if self.library is not None and self.library.id == library else {}

    def ids(self, kind: str, parts: Iterable[str]) -> list[str]:
        """The ``cases`` or the ``patients`` of these parts."""
        named = self.cases if kind == "cases" else self.patients
        return [name for part in parts for name in named.get(part, ())]


def _comparison(record: Mapping[str, Any]) -> ComparisonSummary:
    pairs = {key: tuple(pair) for key, pair in _table(record.get("regions")).items() if isinstance(pair, list | tuple)}
    return ComparisonSummary(
        old=str(record.get("old") or ""),
        outcome=str(record.get("outcome") or ""),
        text=str(record.get("text") or ""),
        regions={key: (pair[0], pair[1]) for key, pair in pairs.items() if len(pair) == 2},
        unfair={key: str(reason) for key, reason in _table(record.get("unfair")).items()},
    )


def _inherited(record: Mapping[str, Any]) -> Inherited:
    return Inherited(*(_strings(record.get(key)) for key in ("cases", "patients", "unknown")))


def _ids(value: Any) -> dict[str, tuple[str, ...]]:
    return {str(part): _strings(ids) for part, ids in _table(value).items()}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()
