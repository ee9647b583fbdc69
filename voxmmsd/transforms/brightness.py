"""Multiplicative brightness."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform, kept
from voxmmsd.views.drawing import sometimes
from voxmmsd.views.intensity import wide


@dataclass(frozen=True)
class Brightness(IntensityTransform):
    """``p``: probability per modality. ``factor``: 1 leaves it as it is."""

    p: float = 0.15
    factor: tuple[float, float] = (0.7, 1.3)

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Factors ``(batch, channel)``."""
        return sometimes(self.factor, self.p, 1.0, shape[:2], generator)

    def change(self, image: Tensor, drawn: Tensor) -> Tensor:
        return kept(image * wide(drawn), image > 0)
