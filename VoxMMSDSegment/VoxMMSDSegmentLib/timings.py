"""How long each stage takes on this computer: as the last run of its kind did, kept in Slicer's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from VoxMMSDLib import settings
from VoxMMSDSegmentLib.progress import CARRY_GUESS, FIRST_GUESS, FOLLOW_GUESS, MIRRORS, ONCE, stages_of

if TYPE_CHECKING:
    from VoxMMSDSegmentLib.case import SlicerCase
    from VoxMMSDSegmentLib.job import Options

CARRY, FOLLOW = "seconds-carry", "seconds-follow"


def expected(case: SlicerCase, options: Options) -> dict[str, float]:
    """Seconds by stage, in the order of a run."""
    known = _known(_kind(case, options))
    strip = bool(options.brain_mask) or (case.from_scanner and case.brain_mask is None)
    stages = stages_of(align=case.align or case.from_scanner, strip=strip, correct=options.n4)
    slower = {"segmenting": MIRRORS if options.tta else 1}
    return {stage: known.get(stage, FIRST_GUESS[stage] * slower.get(stage, 1)) for stage in stages}


def remember(case: SlicerCase, options: Options, took: Mapping[str, float]) -> None:
    """Keep what a finished run took."""
    kind = _kind(case, options)
    settings.write(kind, json.dumps({**_known(kind), **{stage: round(s, 2) for stage, s in took.items()}}))


def expected_carry(*, is_first: bool) -> dict[str, float]:
    """Seconds by stage of a carry, in their order."""
    known = _known(CARRY, CARRY_GUESS)
    stages = [stage for stage in CARRY_GUESS if is_first or stage not in ONCE]
    return {stage: known.get(stage, CARRY_GUESS[stage]) for stage in stages}


def remember_carry(took: Mapping[str, float]) -> None:
    """Keep what a finished carry took."""
    settings.write(CARRY, json.dumps({**_known(CARRY, CARRY_GUESS), **{s: round(t, 2) for s, t in took.items()}}))


def expected_follow(visits: int) -> dict[str, float]:
    """Seconds by stage of a follow-up; what is known is of two visits."""
    return {stage: s * visits / 2 for stage, s in {**FOLLOW_GUESS, **_known(FOLLOW, FOLLOW_GUESS)}.items()}


def remember_follow(took: Mapping[str, float], visits: int) -> None:
    """Keep what a finished follow-up took."""
    settings.write(FOLLOW, json.dumps({stage: round(2 * s / visits, 2) for stage, s in took.items()}))


def _kind(case: SlicerCase, options: Options) -> str:
    """Runs of one kind take about as long."""
    mirrors = "-mirrors" if options.tta else ""
    return f"seconds-{len(case.volumes)}-{options.device}-{options.precision}{mirrors}"


def _known(kind: str, stages: Mapping[str, float] = FIRST_GUESS) -> dict[str, float]:
    try:
        record = json.loads(settings.read(kind, "{}"))
    except ValueError:
        return {}
    numbers = record.items() if isinstance(record, dict) else ()
    return {stage: float(s) for stage, s in numbers if stage in stages and isinstance(s, int | float) and s > 0}
