"""Temperature scaling (Guo et al., ICML 2017): probabilities that are right as often as they say.

The logits are divided by one number, the temperature, which is fitted to labeled cases that the network did not learn
from. Above 1 it makes an overconfident network less so. The most probable class stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.calibration import Calibration, calibration_of, lesion_zone, pooled

RANGE = (0.25, 8.0)
_LEAST = 1e-12  # probabilities below count as this


@dataclass(frozen=True)
class NearLesion:
    """Voxels within a centimeter of the lesion of a case: ``log_p`` ``(class, n)`` float32 and class indices ``truth``
    ``(n,)``."""

    log_p: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, probabilities_czyx: np.ndarray, reference_zyx: np.ndarray, grid: Grid) -> NearLesion | None:
        """None if the reference is empty."""
        if not reference_zyx.any():
            return None
        zone = lesion_zone(reference_zyx, grid)
        log_p = np.log(np.maximum(probabilities_czyx[:, zone], _LEAST))
        return cls(log_p.astype(np.float32), reference_zyx[zone].astype(np.int64))

    def calibration(self, temperature: float) -> Calibration:
        return calibration_of(softmax(self.log_p / temperature, axis=0), self.truth)

    def loss(self, temperature: float) -> float:
        """Mean cross-entropy."""
        log_p = log_softmax(self.log_p / temperature, axis=0)
        return -float(np.take_along_axis(log_p, self.truth[None], axis=0).mean())


def tempered(probabilities_czyx: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities ``(class, ...)`` as if the logits had been divided by ``temperature``; 1 leaves them unchanged."""
    if temperature == 1:
        return probabilities_czyx
    powers = np.power(probabilities_czyx, np.float32(1 / temperature))
    powers /= powers.sum(axis=0)
    return powers


def fit_temperature(cases: Mapping[str, NearLesion]) -> dict[str, Any]:
    """The temperature of the least mean cross-entropy near the lesions, all cases weighing the same, for a record:
    ``temperature``, ``cases`` (ids), ``error_before`` and ``error_after`` (expected calibration error on these cases).
    """
    from scipy.optimize import minimize_scalar  # slow to import, and segmenting needs only ``tempered``

    zones = list(cases.values())
    low, high = np.log(RANGE)
    found = minimize_scalar(
        lambda log_t: float(np.mean([zone.loss(np.exp(log_t)) for zone in zones])),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-3},
    )
    temperature = round(float(np.exp(found.x)), 3)
    before, after = (_error([zone.calibration(t) for zone in zones]) for t in (1.0, temperature))
    return {"temperature": temperature, "cases": list(cases), "error_before": before, "error_after": after}


def _error(cases: Sequence[Calibration]) -> float:
    together = pooled(cases)
    assert together is not None
    return round(together.error, 4)
