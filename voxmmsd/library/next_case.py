"""Suggest which case to correct next, with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxmmsd.library.records import ACCEPTED, HOLD_OUT, PREDICTED, LabelVersion, LibraryCase


@dataclass(frozen=True)
class Suggestion:
    """A case without an accepted label; ``doubt``: expected fraction of its region volumes that is wrong, 0 to 1,
    or None if no model reported its uncertainty."""

    case_id: str
    reason: str
    doubt: float | None


def next_to_label(cases: Sequence[LibraryCase]) -> tuple[Suggestion, ...]:
    """The cases without an accepted label, the most useful to label first.

    First a held-out one, if no held-out case has a label yet: it is needed to compare models. Then predicted ones, by
    the expected error in their uncertain regions; then predictions without uncertainty, and cases without a
    prediction.
    """
    open_cases = [case for case in cases if case.state != ACCEPTED]
    judged = any(case.part == HOLD_OUT and case.state == ACCEPTED for case in cases)
    urgent = [case for case in open_cases if case.part == HOLD_OUT and not judged]
    ranked = sorted(open_cases, key=lambda case: (case not in urgent[:1], -_rank(case)))
    return tuple(Suggestion(case.id, _reason(case, case in urgent[:1]), _doubt(case)) for case in ranked)


def _rank(case: LibraryCase) -> float:
    doubt = _doubt(case)
    return doubt if doubt is not None else -1.0 if case.state == PREDICTED else -2.0


def _doubt(case: LibraryCase) -> float | None:
    """Mean over the regions of expected wrong ml per ml; tiny regions count as 1 ml, since they are all border."""
    if case.prediction is None or not case.prediction.review:
        return None
    wrong, volumes = _expected_wrong_ml(case.prediction), case.prediction.volumes_ml
    shares = [min(1.0, ml / max(1.0, volumes.get(region, 0.0))) for region, ml in wrong.items()]
    return sum(shares) / len(shares)


def _expected_wrong_ml(label: LabelVersion) -> dict[str, float]:
    total: dict[str, float] = {}
    for place in label.review:
        for region, ml in place["effect_ml"].items():
            total[region] = total.get(region, 0.0) + ml
    return total


def _reason(case: LibraryCase, is_urgent: bool) -> str:
    parts = []
    if is_urgent:
        parts.append("no held-out patient has a label yet, and without one an old and a new model cannot be compared")
    parts.append(_doubt_in_words(case.prediction))
    return "; ".join(parts)


def _doubt_in_words(prediction: LabelVersion | None) -> str:
    if prediction is None:
        return "no model has segmented it: nothing is known of how hard it is"
    if not prediction.review:
        return f"{prediction.model} segmented it and recorded no doubtful places"
    wrong, volumes = _expected_wrong_ml(prediction), prediction.volumes_ml
    region = max(wrong, key=lambda key: wrong[key] / max(1.0, volumes.get(key, 0.0)))
    count = len(prediction.review)
    return (
        f"{prediction.model} is unsure in {count} place{'' if count == 1 else 's'}: it expects {wrong[region]:.1f} of "
        f"{volumes.get(region, 0.0):.1f} ml of {region} to be wrong"
    )
