"""Additive brightness."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform, kept
from voxmmsd.views.drawing import sometimes
from voxmmsd.views.intensity import wide


@dataclass(frozen=True)
class BrightnessShift(IntensityTransform):
    """``p``: probability per modality. ``shift``: what is added to the tissue, whose median is 0.5."""

    p: float = 0.15
    shift: tuple[float, float] = (-0.1, 0.1)

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Shifts ``(batch, channel)``."""
        return sometimes(self.shift, self.p, 0.0, shape[:2], generator)

    def change(self, image: Tensor, drawn: Tensor) -> Tensor:
        return kept(image + wide(drawn), image > 0)
