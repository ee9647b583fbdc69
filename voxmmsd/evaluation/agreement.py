"""Agreement of volumes: bias and limits of agreement (Bland and Altman, Lancet 1986)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxmmsd.evaluation.scores import CaseScores


@dataclass(frozen=True)
class Agreement:
    """Predicted less expert's volume in ml over ``cases``: its mean (bias) and, from two cases, mean ± 1.96 sd."""

    bias_ml: float
    low_ml: float
    high_ml: float
    cases: int


def volumes_ml(cases: Sequence[CaseScores], structure: str) -> np.ndarray:
    """``(case, 2)``: the expert's and the predicted volume."""
    found = [case.structures[structure] for case in cases]
    return np.array([(scores.reference_ml, scores.predicted_ml) for scores in found]).reshape(-1, 2)


def limits_of_agreement(pairs_ml: np.ndarray) -> Agreement:
    """Of ``(case, 2)`` volumes, expert's first; with many small cases the limits mean more than with a few large."""
    differences = pairs_ml[:, 1] - pairs_ml[:, 0]
    count = len(differences)
    bias = float(differences.mean()) if count else float("nan")
    reach = 1.96 * float(differences.std(ddof=1)) if count > 1 else float("nan")
    return Agreement(bias, bias - reach, bias + reach, count)


def agreement_rows(cases: Sequence[CaseScores], structures: Sequence[str]) -> list[list[str]]:
    """A heading and a row per structure."""
    rows = [["structure", "bias ml", "limits of agreement ml", "cases"]]
    for key in structures:
        found = limits_of_agreement(volumes_ml(cases, key))
        limits = f"{found.low_ml:+.2f} to {found.high_ml:+.2f}" if found.cases > 1 else "-"
        rows.append([key, f"{found.bias_ml:+.2f}", limits, str(found.cases)])
    return rows
