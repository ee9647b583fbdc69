"""Calibration near the tumor: whether predictions with a probability of 90 % are correct in nine of ten voxels.

Over the whole image nearly every voxel is certain background, and any model looks calibrated. Voxels are therefore
counted within a centimeter of the expert's lesion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import Grid

MARGIN_MM = 10.0
BINS = 10
COVERAGES = tuple(round(0.05 * number, 2) for number in range(1, 21))


@dataclass(frozen=True)
class Calibration:
    """Calibration of one case, or of several pooled.

    ``voxels``, ``confidence``, ``correct``: per bin of the largest probability (tenths), how many voxels, the sum of
    that probability and how many are right. ``risk``: the fraction of wrong voxels among the most certain, at each of
    ``COVERAGES``.
    """

    voxels: tuple[float, ...]
    confidence: tuple[float, ...]
    correct: tuple[float, ...]
    risk: tuple[float, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of confidence and accuracy over the bins, by their voxels."""
        gaps = np.abs(np.subtract(self.confidence, self.correct))
        return float(gaps.sum() / np.sum(self.voxels))

    @property
    def mean_risk(self) -> float:
        """Area under the risk-coverage curve: the less, the better the model knows where it is wrong."""
        return float(np.mean(self.risk))

    def record(self) -> dict[str, Any]:
        return {name: [round(float(v), 6) for v in values] for name, values in asdict(self).items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Calibration:
        return cls(**{name: tuple(values) for name, values in record.items()})


def calibrate(probabilities_czyx: np.ndarray, reference_zyx: np.ndarray, grid: Grid) -> Calibration | None:
    """Of class probabilities (background first) against class indices; None if the reference is empty."""
    if not reference_zyx.any():
        return None
    zone = lesion_zone(reference_zyx, grid)
    return calibration_of(probabilities_czyx[:, zone], reference_zyx[zone])


def calibration_of(probabilities: np.ndarray, truth: np.ndarray) -> Calibration:
    """Of class probabilities ``(class, n)`` of some voxels against their class indices ``(n,)``."""
    confidence, right = probabilities.max(axis=0), probabilities.argmax(axis=0) == truth
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    voxels, sums, correct = (np.bincount(number, weights, BINS).tolist() for weights in (None, confidence, right))
    wrong = np.cumsum(~right[np.argsort(-confidence, kind="stable")])
    counts = np.maximum(1, np.rint(np.array(COVERAGES) * wrong.size).astype(int))
    return Calibration(tuple(voxels), tuple(sums), tuple(correct), tuple((wrong[counts - 1] / counts).tolist()))


def lesion_zone(reference_zyx: np.ndarray, grid: Grid, margin_mm: float = MARGIN_MM) -> np.ndarray:
    """Bool ``(z, y, x)``: voxels within ``margin_mm`` of any label."""
    (tight,) = ndimage.find_objects((reference_zyx > 0).astype(np.uint8))
    steps = [int(np.ceil(margin_mm / spacing)) for spacing in grid.spacing_mm_zyx]
    box = tuple(slice(max(0, s.start - n), s.stop + n) for s, n in zip(tight, steps, strict=True))
    zone = np.zeros(reference_zyx.shape, bool)
    zone[box] = ndimage.distance_transform_edt(reference_zyx[box] == 0, grid.spacing_mm_zyx) <= margin_mm
    return zone


def pooled(cases: Sequence[Calibration]) -> Calibration | None:
    """All voxels of all cases in the bins; risks as the mean of the cases. None without cases."""
    if not cases:
        return None
    sums = [np.sum([getattr(case, name) for case in cases], axis=0) for name in ("voxels", "confidence", "correct")]
    risk = np.mean([case.risk for case in cases], axis=0)
    return Calibration(*(tuple(values.tolist()) for values in (*sums, risk)))
