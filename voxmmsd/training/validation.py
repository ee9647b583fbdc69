"""Validation: segment whole prepared cases with sliding windows and score the regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from voxmmsd.data.store import PreparedCase
from voxmmsd.evaluation.scores import nan_mean, region_dice
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import LabelSchema
from voxmmsd.networks.heads import SegmentationNetwork

SEGMENT_WINDOW = 128


def segment_window(patch: int) -> int:
    """Window size in voxels for a model trained on patches of size ``patch``.

    Larger than the patches: the network is convolutional, and fewer windows have fewer borders.
    """
    return max(patch, SEGMENT_WINDOW)


def validate(
    network: SegmentationNetwork,
    entries: Sequence[PreparedCase],
    schema: LabelSchema,
    device: torch.device,
    window: int,
    on_case: Callable[[PreparedCase, np.ndarray], None] | None = None,
) -> list[dict[str, float]]:
    """Dice per region of each case; NaN if the reference is empty or does not label the region.

    ``on_case`` receives each case with its prediction, class indices ``(z, y, x)``.
    """
    engine = TorchEngine(network, device)
    scores: list[dict[str, float]] = []
    for entry in entries:
        probabilities = predict_probabilities(np.asarray(entry.image()), engine, window)
        predicted, reference = probabilities.argmax(axis=0), np.asarray(entry.label())
        if on_case is not None:
            on_case(entry, predicted)
        scores.append(region_dice(reference, predicted, schema))
    return scores


def mean_of_cases(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean per region over the cases that have it; NaN if none has it."""
    return {key: nan_mean(case[key] for case in scores) for key in (scores[0] if scores else ())}


def mean_region_dice(regions: dict[str, float]) -> float:
    """Mean over the regions that could be scored; 0 if none could, so that a later validation is better."""
    mean = nan_mean(regions.values())
    return mean if math.isfinite(mean) else 0.0
