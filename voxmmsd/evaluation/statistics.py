"""Statistics of a paired comparison of two methods: effect, interval, and how often each was better.

With few patients, p-values say little (5 of 5 patients better is p = 0.06 in the sign test), so none is given; the
interval and the counts describe the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """A paired difference: its mean, its 95 % bootstrap interval, and in how many pairs it was positive.

    ``low`` and ``high`` are NaN for one draw and one patient, from which no interval can be told.
    ``draws`` and ``patients`` are pairs (better, worse); ties are in neither.
    """

    effect: float
    low: float
    high: float
    draws: tuple[int, int]
    patients: tuple[int, int]


def paired(differences: np.ndarray, patients: Sequence[str] = (), seed: int = 0) -> Paired:
    """Statistics of differences ``(draw, case, region)``, NaN where a case has no score for a region.

    ``patients``: of each case, whose it is (default: each of another patient). The effect is the mean over the regions
    of the mean over draws and cases. The bootstrap resamples both patients, with all their cases, and training draws
    with replacement, since the claim generalizes over both (the two-way "pigeonhole" bootstrap, Owen 2007); with a
    single draw or patient, only the other is resampled.
    """
    rng = np.random.default_rng([seed, 0xB007])
    draws, cases, _ = differences.shape
    whose = tuple(patients) or tuple(map(str, range(cases)))
    members = np.array([[one == patient for one in whose] for patient in dict.fromkeys(whose)], float)
    count = len(members)
    resampled = means_over_regions(
        differences,
        rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES),
        rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) @ members,
    )
    tail = 50 * (1 - CONFIDENCE)
    is_spread = max(draws, count) > 1 and np.isfinite(resampled).any()
    low, high = np.nanpercentile(resampled, [tail, 100 - tail]) if is_spread else (np.nan, np.nan)
    ones_d, ones_p = np.ones((1, draws)), np.ones((1, cases))
    return Paired(
        float(means_over_regions(differences, ones_d, ones_p)[0]),
        float(low),
        float(high),
        _signs(means_over_regions(differences, np.eye(draws), np.tile(ones_p, (draws, 1)))),
        _signs(means_over_regions(differences, np.tile(ones_d, (count, 1)), members)),
    )


def means_over_regions(values: np.ndarray, draw_counts: np.ndarray, case_counts: np.ndarray) -> np.ndarray:
    """``(B,)``: the mean over the regions of the weighted mean of ``values`` ``(draw, case, region)``.

    ``draw_counts`` ``(B, draw)`` and ``case_counts`` ``(B, case)`` give the weight of each. NaN is ignored, and a
    region without values is left out.
    """
    there = np.isfinite(values)
    sums = np.einsum("bd,bc,dcr->br", draw_counts, case_counts, np.where(there, values, 0.0), optimize=True)
    counts = np.einsum("bd,bc,dcr->br", draw_counts, case_counts, there.astype(float), optimize=True)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    regions = (counts > 0).sum(axis=1)
    return np.where(regions > 0, means.sum(axis=1) / np.maximum(regions, 1), np.nan)


def _signs(values: np.ndarray) -> tuple[int, int]:
    return int((values > 0).sum()), int((values < 0).sum())
