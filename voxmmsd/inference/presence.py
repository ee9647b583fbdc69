"""How sure a result is that there is a tumor at all: what it says of its largest part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class LargestPart:
    """The largest connected part that is called tumor: ml, and the mean probability of tumor in it; 0 if there is none.

    Voxels touch by face, edge or corner. The probability is calibrated if the model's temperature is.
    """

    ml: float = 0.0
    probability: float = 0.0


def largest_part(label_zyx: np.ndarray, background_zyx: np.ndarray, voxel_ml: float) -> LargestPart:
    """Of class indices and the probability of background, both ``(z, y, x)``."""
    parts, count = ndimage.label(label_zyx > 0, np.ones((3, 3, 3), bool))
    if not count:
        return LargestPart()
    sizes = np.bincount(parts.ravel())
    largest = parts == 1 + int(sizes[1:].argmax())
    return LargestPart(float(largest.sum() * voxel_ml), float(1 - background_zyx[largest].mean(dtype=np.float64)))
