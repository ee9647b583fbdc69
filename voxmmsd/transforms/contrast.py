"""Contrast about the mean of the tissue, by one factor for all modalities of an image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform, kept
from voxmmsd.views.drawing import sometimes
from voxmmsd.views.intensity import with_contrast


@dataclass(frozen=True)
class Contrast(IntensityTransform):
    """``p``: probability per image. ``factor``: 1 leaves it as it is."""

    p: float = 0.15
    factor: tuple[float, float] = (0.65, 1.5)

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Factors ``(batch, channel)``, the same for all channels."""
        return sometimes(self.factor, self.p, 1.0, (shape[0], 1), generator).expand(shape[:2])

    def change(self, image: Tensor, drawn: Tensor) -> Tensor:
        inside = image > 0
        return kept(with_contrast(image, drawn, inside), inside)
