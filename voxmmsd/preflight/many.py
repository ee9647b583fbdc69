"""Check case after case: a fault in one is its finding, and the last lines sum up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from voxmmsd.data.case import Case
from voxmmsd.failures import failure_of_case
from voxmmsd.labels import LabelSchema
from voxmmsd.preflight.check import check_case
from voxmmsd.records.findings import BLOCKING, WARNING, Finding, blocking
from voxmmsd.wording import counted


@dataclass(frozen=True)
class Checked:
    """A case's id and its findings, most severe first."""

    case: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> str:
        """``refused``, ``warned`` or ``fine``."""
        severities = {finding.severity for finding in self.findings}
        return "refused" if BLOCKING in severities else "warned" if WARNING in severities else "fine"

    def record(self) -> dict[str, Any]:
        return {"case": self.case, "state": self.state, "findings": [finding.record() for finding in self.findings]}

    def lines(self, shortly: bool) -> list[str]:
        """``shortly``: what to do is left to the summary, but where the case is refused."""
        listed = [
            finding.short_line() if shortly and finding.severity != BLOCKING else finding.line()
            for finding in self.findings
        ]
        return [f"{self.case}: {'' if listed else 'nothing found'}".rstrip(), *(f"  {line}" for line in listed)]


def check_cases(
    cases: Sequence[Case], *, postoperative: bool, schema: LabelSchema | None, brain_mask: str
) -> Iterator[Checked]:
    """Each case with its findings; whatever fails in one becomes its blocking finding."""
    for case in cases:
        try:
            findings = check_case(case, postoperative=postoperative, schema=schema, brain_mask=brain_mask)
        except Exception as error:
            failure = failure_of_case(error)
            findings = (Finding(BLOCKING, "failed", failure.problem, failure.remedy),)
        yield Checked(case.id, findings)


def summary(checked: Sequence[Checked]) -> list[str]:
    """The last lines over several cases: how many, of which kind, and what to do about each kind of warning."""
    if len(checked) < 2:
        return []
    states = Counter(one.state for one in checked)
    listed = ", ".join(f"{states[state]} {state}" for state in ("fine", "warned", "refused") if states[state])
    lines = [f"{counted(len(checked), 'case')}: {listed}"]
    kinds: dict[str, list[Finding]] = {}
    for one in checked:
        for kind in dict.fromkeys(finding.kind for finding in one.findings):
            kinds.setdefault(kind, []).append(next(f for f in one.findings if f.kind == kind))
    for kind, findings in kinds.items():
        ways = list(dict.fromkeys(finding.remedy for finding in findings))
        way = f": {ways[0]}" if not blocking(findings) and len(ways) == 1 else ""
        lines.append(f"  {kind} in {counted(len(findings), 'case')}{way}")
    return lines
