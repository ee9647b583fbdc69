"""Categories of RANO 2.0 from the images alone (Wen et al., J Clin Oncol 41:5187, 2023, doi 10.1200/JCO.23.01059).

By diameters: the sum of the products of the two diameters of the lesions. Partial response: at least 50 % less than at
the baseline; progression: at least 25 % above the nadir, the least so far. By volume: at least 65 % less, 40 % above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Response(StrEnum):
    """What the images alone would be called."""

    COMPLETE = "CR"
    PARTIAL = "PR"
    STABLE = "SD"
    PROGRESSION = "PD"
    UNKNOWN = "NE"


NAMES = {
    Response.COMPLETE: "complete response",
    Response.PARTIAL: "partial response",
    Response.STABLE: "stable disease",
    Response.PROGRESSION: "progressive disease",
    Response.UNKNOWN: "not evaluable",
}


@dataclass(frozen=True)
class Thresholds:
    """``less``: share that a partial response loses of the baseline; ``more``: that progression adds to the nadir."""

    less: float
    more: float


BY_DIAMETERS, BY_VOLUME = Thresholds(0.50, 0.25), Thresholds(0.65, 0.40)
CAVEAT = (
    "These categories are arithmetic on the segmentation. RANO 2.0 also takes steroids, clinical state, non-target "
    "lesions and a confirming scan at least four weeks later into account, and its baseline is the first scan after "
    "radiotherapy: within twelve weeks of it, growth may be pseudoprogression. A radiologist must make the assessment."
)
_SLACK = 1e-9


@dataclass(frozen=True)
class Assessment:
    """Of one visit. ``from_baseline`` and ``from_nadir``: change as a share, None where nothing was there before."""

    response: Response
    from_baseline: float | None
    from_nadir: float | None
    why: str = ""


def assessed(
    sizes: Sequence[float],
    thresholds: Thresholds,
    *,
    gone: Sequence[bool],
    new: Sequence[bool],
    traces: Sequence[bool] = (),
) -> list[Assessment]:
    """One assessment for each visit after the first, which is the baseline.

    ``sizes``: sum of products or volume at each visit. ``gone``: at each visit, whether no enhancing tumor is left.
    ``new``: at each visit, whether a measurable lesion is there that was not there before. ``traces``: at each visit,
    whether all that is left are pieces too small to be lesions (default: at none). A complete response also has none
    of these, since it is the disappearance of all enhancing disease, measurable or not; progression needs more.
    A visit of size 0 with such pieces is no nadir: nothing could be measured, but the tumor was not gone.
    """
    found = []
    for visit in range(1, len(sizes)):
        size, baseline = sizes[visit], sizes[0]
        nadir = min((sizes[one] for one in range(visit) if sizes[one] > 0 or gone[one]), default=0.0)
        from_baseline, from_nadir = change(baseline, size), change(nadir, size)
        small = bool(traces) and traces[visit]
        response, why = _category(size, baseline, nadir, thresholds, gone[visit], new[visit], small)
        found.append(Assessment(response, from_baseline, from_nadir, why))
    return found


def _category(
    size: float, baseline: float, nadir: float, thresholds: Thresholds, gone: bool, new: bool, traces: bool
) -> tuple[Response, str]:
    found, why = Response.STABLE, ""
    if new:
        found, why = Response.PROGRESSION, "a new measurable lesion"
    elif baseline <= 0:
        found, why = Response.UNKNOWN, "no measurable disease at the first visit"
    elif gone:
        found, why = Response.COMPLETE, "no enhancing tumor is left"
    elif traces and size > baseline * (1 - thresholds.less) + _SLACK:
        why = "only small pieces are left"
    elif traces:
        found, why = Response.PARTIAL, "small pieces are left, so the response is not complete"
    elif nadir <= 0 < size:
        found, why = Response.PROGRESSION, "enhancing tumor has reappeared"
    elif size >= nadir * (1 + thresholds.more) - _SLACK and nadir > 0:
        found, why = Response.PROGRESSION, f"at least {thresholds.more:.0%} above the nadir"
    elif size <= baseline * (1 - thresholds.less) + _SLACK:
        found, why = Response.PARTIAL, f"at least {thresholds.less:.0%} less than at the first visit"
    return found, why


def change(before: float, after: float) -> float | None:
    """As a share of ``before``; None if that is 0."""
    return (after - before) / before if before > 0 else None


def change_text(share: float) -> str:
    """``+25 %``, and ``0 %`` for what rounds to nothing in either direction."""
    percent = round(share * 100)
    return f"{percent:+d} %" if percent else "0 %"
