"""How sure a result is that there is a tumor at all: what it says of its largest part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import bounding_box
from voxmmsd.labels import LabelSchema

SUREST_ML = 0.1


@dataclass(frozen=True)
class LargestPart:
    """The largest connected part that is called tumor: ml, and the mean probability of tumor in it; 0 if there is none.

    ``core``: the mean probability of the tumor core over the ``SUREST_ML`` of it where that is highest; None if there
    is no part, or the labels have no core. Voxels touch by face, edge or corner. Probabilities are calibrated if the
    model's temperature is.
    """

    ml: float = 0.0
    probability: float = 0.0
    core: float | None = None


def largest_part(
    label_zyx: np.ndarray, probabilities_czyx: np.ndarray, voxel_ml: float, core: Sequence[int] = ()
) -> LargestPart:
    """Of class indices ``(z, y, x)`` and the probabilities of all classes; ``core``: the classes of the tumor core."""
    box = bounding_box(label_zyx)
    if box is None:
        return LargestPart()
    label_zyx, probabilities_czyx = label_zyx[box], probabilities_czyx[(slice(None), *box)]
    parts, _ = ndimage.label(label_zyx > 0, np.ones((3, 3, 3), bool))
    sizes = np.bincount(parts.ravel())
    largest = parts == 1 + int(sizes[1:].argmax())
    probability = float(1 - probabilities_czyx[0][largest].mean(dtype=np.float64))
    sure = None
    if core:
        of_core = np.sort(sum(probabilities_czyx[index][largest] for index in core))
        sure = float(of_core[-max(1, round(SUREST_ML / voxel_ml)) :].mean(dtype=np.float64))
    return LargestPart(float(largest.sum() * voxel_ml), probability, sure)


def core_of(schema: LabelSchema) -> tuple[int, ...]:
    """Class indices of the tumor core; empty if the schema has none."""
    region = next((region for region in schema.regions if region.key == "TC"), None)
    return schema.region_indices(region) if region else ()
