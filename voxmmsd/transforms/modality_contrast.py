"""Contrast about the mean of the tissue, by a factor of its own for each modality."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Size, Tensor

from voxmmsd.transforms.contrast import Contrast
from voxmmsd.views.drawing import sometimes


@dataclass(frozen=True)
class ModalityContrast(Contrast):
    """``p``: probability per modality. ``factor``: 1 leaves it as it is."""

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Factors ``(batch, channel)``."""
        return sometimes(self.factor, self.p, 1.0, shape[:2], generator)
