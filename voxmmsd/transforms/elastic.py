"""Elastic deformation: voxels are displaced by a smooth random field, image and label alike.

The field is a cubic B-spline of random displacements on a coarse grid. MONAI's ``Rand3DElastic`` smooths noise of full
size instead, one image at a time; a spline is a product of three small matrices, for a whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Size, Tensor

from voxmmsd.labels import LabelSchema
from voxmmsd.views.drawing import happens, uniform

KNOT_VOXELS = 16  # distance of the grid's points


@dataclass(frozen=True)
class Elastic:
    """``p``: probability per image. ``displacement``: the largest along each axis, in voxels."""

    p: float = 0.2
    displacement: tuple[float, float] = (1.0, 4.0)

    def bind(self, schema: LabelSchema) -> Elastic:
        return self

    def draw(self, shape: Size, generator: Generator) -> Tensor:
        """Displacements ``(batch, 3, knots z, y, x)`` of the grid's points along z, y, x; 0: none."""
        reach = uniform(self.displacement, shape[:1], generator) * happens(self.p, shape[:1], generator)
        knots = [-(-side // KNOT_VOXELS) + 3 for side in shape[2:]]
        return uniform((-1.0, 1.0), (shape[0], 3, *knots), generator) * reach[:, None, None, None, None]

    def apply(self, image: Tensor, label: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Intensities linear, labels nearest neighbor; beyond the border its voxels are repeated."""
        if image.device.type == "cpu":  # few images are moved, and looking which costs nothing here
            moves = drawn.flatten(1).any(dim=1)
            image, label = image.clone(), label.clone()
            if moves.any():
                image[moves], label[moves] = moved(image[moves], label[moves], drawn[moves])
            return image, label
        return moved(image, label, drawn)


def moved(image: Tensor, label: Tensor, knots: Tensor) -> tuple[Tensor, Tensor]:
    """Each voxel takes the value from where the field points to."""
    shape = image.shape[2:]
    z, y, x = (spline(side, count) for side, count in zip(shape, knots.shape[2:], strict=True))
    field = torch.einsum("bcijk,zi,yj,xk->bzyxc", knots, z.to(knots), y.to(knots), x.to(knots))
    here = torch.meshgrid(*(torch.arange(side, device=image.device) for side in shape), indexing="ij")
    last = torch.tensor(shape, device=image.device) - 1
    grid = ((torch.stack(here, dim=-1) + field) / last.clamp(min=1) * 2 - 1).flip(-1)
    found = F.grid_sample(image, grid, padding_mode="border", align_corners=True)
    labels = F.grid_sample(label[:, None].float(), grid, "nearest", "border", align_corners=True)
    return found, labels[:, 0].to(label.dtype)


def spline(side: int, count: int) -> Tensor:
    """``(side, count)``: cubic B-spline weights of ``count`` knots, from one knot before voxel 0 on; rows sum to 1."""
    place = torch.arange(side, dtype=torch.float32)[:, None] / KNOT_VOXELS + 1
    distance = (place - torch.arange(count, dtype=torch.float32)).abs()
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
