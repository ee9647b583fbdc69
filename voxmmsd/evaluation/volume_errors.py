"""How far the volumes that a model finds are from the experts': medians over cases, for its card and for reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

Volumes = Mapping[str, float]  # structure -> ml
Errors = dict[str, dict[str, float | None]]


def median_errors(cases: Iterable[tuple[Volumes, Volumes]]) -> Errors:
    """``cases``: of each the expert's volumes and the model's, of the same labels and regions.

    By structure: ``ml``, the median of the absolute errors over all cases; ``percent``, that of the errors in percent
    of the expert's volume over the cases in which the expert drew it, None where there is none.
    """
    pairs = list(cases)
    found: Errors = {}
    for key in pairs[0][0] if pairs else ():
        errors = [(abs(theirs[key] - expert[key]), expert[key]) for expert, theirs in pairs]
        shares = [100 * error / true for error, true in errors if true > 0]
        found[key] = {
            "ml": round(median(error for error, _true in errors), 3),
            "percent": round(median(shares), 1) if shares else None,
        }
    return found
