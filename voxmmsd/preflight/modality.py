"""Which sequence a brain-only volume is, told from its voxels: a linear discriminant over its histogram by depth.

numpy only, on a subsample: about 10 ms a volume. Alone a volume is told less surely than the volumes of one case
together, which must all be different sequences: ``swapped_slots`` weighs all ways to assign them. The numbers are those
of ``benchmarks/modalities.py``, which also fits ``modality_model.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import permutations

import numpy as np

from voxmmsd.labels import MODALITIES

SAMPLES_PER_AXIS = 48
DEEPEST = 12  # erosions: beyond that is the middle of the brain
SURE = 3.0  # log-odds from which a swap is told: 20 to 1


@dataclass(frozen=True)
class Recognized:
    """``probability`` of each of MODALITIES, as the voxels alone tell it."""

    probability: Mapping[str, float]

    @property
    def modality(self) -> str:
        return max(self.probability, key=lambda name: self.probability[name])

    @property
    def confidence(self) -> float:
        return self.probability[self.modality]


def recognize(array_zyx: np.ndarray) -> Recognized:
    """The sequence of a brain-only volume, whatever its axes, spacing and scale.

    Raises:
        ValueError: no voxel is above 0.
    """
    log = _log_probability(modality_features(array_zyx))
    return Recognized(dict(zip(MODALITIES, np.exp(log).tolist(), strict=True)))


def swapped_slots(volumes: Mapping[str, np.ndarray], sure: float = SURE) -> dict[str, str]:
    """Slot -> what its volume seems to be, for the slots that seem mixed up; empty where all is as it should be.

    ``volumes``: slot (one of MODALITIES) -> ``(z, y, x)``, brain only. All ways to deal the volumes out to different
    modalities are compared to the one given; the best must be ``sure`` better, in log-odds.
    """
    slots = [name for name in MODALITIES if name in volumes]
    logs = np.array([_log_probability(modality_features(volumes[name])) for name in slots])
    given = [MODALITIES.index(name) for name in slots]

    def evidence(choice: tuple[int, ...] | list[int]) -> float:
        return float(sum(logs[row, column] for row, column in enumerate(choice)))

    best = max(permutations(range(len(MODALITIES)), len(slots)), key=evidence)
    if evidence(best) - evidence(given) < sure:
        return {}
    return {slot: MODALITIES[best[row]] for row, slot in enumerate(slots) if MODALITIES[best[row]] != slot}


def modality_features(array_zyx: np.ndarray) -> np.ndarray:
    """``(18,)``: logarithms of percentiles over the median, in the whole brain, in its middle and in its rim, and
    roughness. Nothing in them depends on axes or scale."""
    steps = tuple(slice(None, None, max(1, n // SAMPLES_PER_AXIS)) for n in array_zyx.shape)
    volume = np.asarray(array_zyx[steps], np.float32)
    inside = volume > 0
    if not inside.any():
        raise ValueError("no voxel above 0")
    volume = volume / np.median(volume[inside])
    depth = _depth(inside)[inside]
    values = volume[inside]
    middle, rim = values[depth >= np.percentile(depth, 85)], values[depth <= 2]
    between = values[(depth >= 3) & (depth <= 5)]
    levels = [
        *np.percentile(values, [1, 5, 25, 75, 95, 99, 99.7]),
        *np.percentile(middle, [2, 10, 50, 90, 98]),
        rim.mean(),
        between.mean() if between.size else 1.0,
        *np.percentile(rim, [10, 90]),
    ]
    steepness = np.abs(np.diff(volume, axis=0))[inside[1:] & inside[:-1]]
    roughness = steepness.mean() if steepness.size else 0.0
    return np.array([*np.log(np.maximum(levels, 0.02)), np.log(roughness + 1e-3), values.std()])


def _depth(inside: np.ndarray) -> np.ndarray:
    """How many erosions by a cross a voxel outlives, plus 1 inside; 0 outside."""
    depth, left = np.zeros(inside.shape, np.uint8), inside
    for _ in range(DEEPEST):
        depth += left
        p = np.pad(left, 1)
        left = (
            left
            & p[2:, 1:-1, 1:-1]
            & p[:-2, 1:-1, 1:-1]
            & p[1:-1, 2:, 1:-1]
            & p[1:-1, :-2, 1:-1]
            & p[1:-1, 1:-1, 2:]
            & p[1:-1, 1:-1, :-2]
        )
    return depth


def _log_probability(features: np.ndarray) -> np.ndarray:
    model = _model()
    score = model["weights"] @ ((features - model["mean"]) / model["spread"]) + model["offset"]
    score -= score.max()
    return score - np.log(np.exp(score).sum())


@cache
def _model() -> dict[str, np.ndarray]:
    text = resources.files("voxmmsd.preflight").joinpath("modality_model.json").read_text(encoding="utf-8")
    record = json.loads(text)
    return {name: np.array(record[name]) for name in ("mean", "spread", "weights", "offset")}
