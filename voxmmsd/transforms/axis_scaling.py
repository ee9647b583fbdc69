"""Scaling by a factor of its own along each axis: heads and tumors of other proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxmmsd.labels import LabelSchema


@dataclass(frozen=True)
class AxisScaling:
    """``p``: probability per patch. ``scale``: voxels of the case per voxel of the patch; above 1 shrinks it."""

    p: float = 0.2
    scale: tuple[float, float] = (0.8, 1.25)

    def bind(self, schema: LabelSchema) -> AxisScaling:
        return self

    def draw_matrix(self, rng: np.random.Generator) -> np.ndarray:
        """Diagonal; shrinking and enlarging are equally likely."""
        low, high = np.log(self.scale)
        happens, scale = rng.random() < self.p, np.exp(rng.uniform(low, high, size=3))
        return np.diag(scale) if happens else np.eye(3)
