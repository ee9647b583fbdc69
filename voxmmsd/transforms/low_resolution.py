"""Thick slices: an image sampled more coarsely along one axis and interpolated back, as clinical scans are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform
from voxmmsd.views.drawing import happens, uniform
from voxmmsd.views.intensity import blur_matrices


@dataclass(frozen=True)
class LowResolution(IntensityTransform):
    """``p``: probability per image; its modalities are thick along one common axis, as they are when interpolated to a
    common grid. ``factor``: slice thickness in voxels."""

    p: float = 0.2
    factor: tuple[float, float] = (1.5, 4.0)

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Standard deviation in voxels along each axis ``(batch, 3)``; 0 leaves it as it is.

        A slice of thickness t averages a box of that width, whose standard deviation is t / sqrt(12).
        """
        thick = happens(self.p, shape[:1], generator)
        axis = torch.randint(3, shape[:1], generator=generator, device=generator.device)
        sigma = uniform(self.factor, shape[:1], generator) / 12**0.5
        along = torch.arange(3, device=generator.device) == axis[:, None]
        return along * (sigma * thick)[:, None]

    def change(self, image: Tensor, drawn: Tensor) -> Tensor:
        inside = image > 0
        for axis in range(3):
            matrices = blur_matrices(drawn[:, axis], image.shape[axis - 3])
            moved = image.movedim(axis - 3, -1)
            image = (moved @ matrices[:, None, None].transpose(-1, -2)).movedim(-1, axis - 3)
        return image * inside
