"""Findings of a check, for the terminal, the panel and the record of a result. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, most first."""

    BLOCKING = "blocking"
    WARNING = "warning"
    NOTE = "note"


BLOCKING, WARNING, NOTE = SEVERITIES = tuple(Severity)
_KEYS = {"way_out": "remedy"}  # in earlier records -> now


@dataclass(frozen=True)
class Finding:
    """``kind`` is a name for programs (``same-volume``), ``modality`` the slot concerned or empty for the case.

    ``seems``: of a wrong slot, the modality that its image seems to be.
    """

    severity: Severity
    kind: str
    text: str
    remedy: str
    modality: str = ""
    seems: str = ""

    def line(self) -> str:
        return f"{self.severity}: {self.text}; {self.remedy}"

    def short_line(self) -> str:
        """Without what to do about it."""
        return f"{self.severity}: {self.text}"

    def record(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, str]) -> Finding:
        """What ``record`` gave; earlier records say ``way_out`` for ``remedy``."""
        fields = {_KEYS.get(key, key): value for key, value in record.items()}
        return cls(Severity(fields.pop("severity")), **fields)

    @classmethod
    def of_line(cls, line: str) -> Finding | None:
        """What ``line`` gave, as records of version 0.1 have it; None if it is none."""
        severity, _, rest = line.partition(": ")
        if severity not in SEVERITIES:
            return None
        text, _, remedy = rest.rpartition("; ")
        return cls(Severity(severity), "", text or rest, remedy if text else "")


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Most severe first."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.severity == BLOCKING)
