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
    """Side of the windows that a model trained on patches of side ``patch`` segments with, in voxels.

    Larger than the patches: the network is convolutional, and fewer windows have fewer rims.
    """
    return max(patch, SEGMENT_WINDOW)


def validate(
    network: SegmentationNetwork,
    entries: Sequence[Entry],
    schema: LabelSchema,
    device: torch.device,
    window: int,
    on_case: Callable[[Entry, np.ndarray], None] | None = None,
) -> dict[str, float]:
    """Mean Dice per region over the cases that have it; not-a-number where none has it.

    ``on_case``: gets each case with its prediction, class indices ``(z, y, x)``.
    """
    engine = TorchEngine(network, device)
    scores: dict[str, list[float]] = {region.key: [] for region in schema.regions}
    for entry in entries:
        probabilities = predict_probabilities(np.asarray(entry.image()), engine, window)
        predicted, reference = probabilities.argmax(axis=0), np.asarray(entry.label())
        if on_case is not None:
            on_case(entry, predicted)
        for region in schema.regions:
            classes = schema.region_indices(region)
            scores[region.key].append(dice(np.isin(reference, classes), np.isin(predicted, classes)))
    return {key: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan for key, values in scores.items()}


def mean_region_dice(regions: dict[str, float]) -> float:
    """Mean over the regions that could be scored; 0 where none could, so that a later validation is better."""
    values = [value for value in regions.values() if np.isfinite(value)]
    return float(np.mean(values)) if values else 0.0
