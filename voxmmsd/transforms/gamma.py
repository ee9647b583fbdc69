"""Gamma: a power of the intensity, which brightens or darkens what lies between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform, kept
from voxmmsd.views.drawing import sometimes
from voxmmsd.views.intensity import with_gamma


@dataclass(frozen=True)
class Gamma(IntensityTransform):
    """``p``: probability per modality. ``power``: 1 leaves it as it is."""

    p: float = 0.15
    power: tuple[float, float] = (0.7, 1.5)

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Powers ``(batch, channel)``."""
        return sometimes(self.power, self.p, 1.0, shape[:2], generator)

    def change(self, image: Tensor, drawn: Tensor) -> Tensor:
        return kept(with_gamma(image, drawn), image > 0)
