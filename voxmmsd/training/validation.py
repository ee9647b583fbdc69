"""Validation: segment whole prepared cases with sliding windows and score the regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from voxmmsd.data.store import Entry
from voxmmsd.evaluation.scores import dice
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
    entries: Sequence[Entry],
    schema: LabelSchema,
    device: torch.device,
    window: int,
    on_case: Callable[[Entry, np.ndarray], None] | None = None,
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
        scores.append(
            {
                region.key: _region_dice(reference, predicted, schema.region_indices(region), schema)
                for region in schema.regions
            }
        )
    return scores


def _region_dice(reference: np.ndarray, predicted: np.ndarray, classes: tuple[int, ...], schema: LabelSchema) -> float:
    inside = [code for code, union in schema.unions.items() if set(union) <= set(classes)]
    crossing = [code for code, union in schema.unions.items() if code not in inside and set(union) & set(classes)]
    if np.isin(reference, crossing).any():
        return float("nan")
    return dice(np.isin(reference, (*classes, *inside)), np.isin(predicted, classes))


def mean_of_cases(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean per region over the cases that have it; NaN if none has it."""
    means = {}
    for key in scores[0] if scores else ():
        values = [case[key] for case in scores if np.isfinite(case[key])]
        means[key] = float(np.mean(values)) if values else float("nan")
    return means


def mean_region_dice(regions: dict[str, float]) -> float:
    """Mean over the regions that could be scored; 0 if none could, so that a later validation is better."""
    values = [value for value in regions.values() if np.isfinite(value)]
    return float(np.mean(values)) if values else 0.0
