"""Findings of a check, for the terminal, the panel and the record of a result. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

BLOCKING, WARNING, NOTE = "blocking", "warning", "note"
SEVERITIES = (BLOCKING, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """``kind`` is a name for programs (``same-volume``), ``modality`` the slot concerned or empty for the case.

    ``seems``: of a wrong slot, the modality that its image seems to be.
    """

    severity: str
    kind: str
    text: str
    way_out: str
    modality: str = ""
    seems: str = ""

    def line(self) -> str:
        return f"{self.severity}: {self.text}; {self.way_out}"

    def short_line(self) -> str:
        """Without what to do about it."""
        return f"{self.severity}: {self.text}"

    def record(self) -> dict[str, str]:
        return asdict(self)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Most severe first."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.severity == BLOCKING)
