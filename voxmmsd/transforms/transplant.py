"""Whole cubes of a tumor bank, tumor and surroundings, put into patches (after CutMix, Yun et al. 2019).

Where ``paste`` moves a tumor into tissue of another patient, a cube keeps what it was cut with: the edge of the tumor,
and the normal tissue beside it. Its intensities, in standard deviations from the mean of its brain, become those of the
patch's brain. What is lost is where it lay in the brain, and a seam remains, blended over two voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Size, Tensor

from voxmmsd.errors import ConfigError
from voxmmsd.labels import LabelSchema
from voxmmsd.transforms.paste import PLACES, Tumors, best_place, in_deviations, level_of
from voxmmsd.transforms.transform import LEAST
from voxmmsd.views.drawing import happens, uniform

LEAST_TISSUE = 0.8  # of the cube's tissue: in the patch, and in its brain
SEAM = 2.0  # voxels of the patch


@dataclass(frozen=True)
class Transplanting:
    """Drawn parameters: which images ``(batch,)`` get which cube ``(batch,)``, the matrix ``(batch, 3, 3)`` from
    offsets in the patch to offsets in the unscaled cube, and places to try ``(batch, places, 3)`` in [0, 1)."""

    happens: Tensor
    donor: Tensor
    matrix: Tensor
    places: Tensor


@dataclass(frozen=True)
class Transplant:
    """``p``: probability per image. ``scale``: size of the cube relative to the original. ``bank``: the cubes."""

    p: float = 0.5
    scale: tuple[float, float] = (0.85, 1.15)
    bank: Tumors | None = None

    def bind(self, schema: LabelSchema) -> Transplant:
        self._cubes()
        return self

    def draw(self, shape: Size, generator: Generator) -> Transplanting:
        batch, device = shape[0], generator.device
        low, high = (math.log(size) for size in self.scale)
        size = uniform((low, high), (batch, 3), generator).exp()
        mirror = torch.where(happens(0.5, (batch, 3), generator), -1.0, 1.0)
        return Transplanting(
            happens=happens(self.p, (batch,), generator),
            donor=torch.randint(len(self._cubes().label), (batch,), generator=generator, device=device),
            matrix=torch.diag_embed(mirror / size),
            places=uniform((0.0, 1.0), (batch, PLACES, 3), generator),
        )

    def apply(self, image: Tensor, label: Tensor, drawn: Transplanting) -> tuple[Tensor, Tensor]:
        rows = drawn.happens.nonzero()[:, 0] if image.device.type == "cpu" else torch.arange(len(image))
        if not len(rows):
            return image, label
        donor = drawn.donor[rows]
        stored = self._cubes()
        cubes = Tumors(in_deviations(stored.image[donor]), stored.label[donor], stored.per_voxel)
        found = transplanted(
            image[rows], label[rows], cubes, drawn.matrix[rows], drawn.places[rows], drawn.happens[rows]
        )
        image, label = image.clone(), label.clone()
        image[rows], label[rows] = found
        return image, label

    def _cubes(self) -> Tumors:
        if self.bank is None:
            raise ConfigError("transforms: transplant takes its cubes from a tumor bank", "add --tumor-bank FILE")
        return self.bank


def transplanted(
    image: Tensor, label: Tensor, cubes: Tumors, matrix: Tensor, places: Tensor, wanted: Tensor
) -> tuple[Tensor, Tensor]:
    """Put a cube each into images ``(n, 4, z, y, x)`` where ``wanted`` ``(n,)``; arguments as in ``Transplanting``.

    Left as they are: images in which no place has enough tissue; and modalities that are missing.
    """
    brain = (image > 0).any(dim=1)
    tissue = ~torch.isnan(cubes.image).all(dim=1)
    matrix = cubes.per_voxel[None, :, None] * matrix
    last = torch.tensor(cubes.label.shape[1:], device=image.device) - 1
    middle = (last / 2).expand(len(image), 3)
    center, fit = best_place(brain, tissue, matrix, middle, places, cut_counts=True)
    done = wanted & (fit >= LEAST_TISSUE)

    here = torch.meshgrid(*(torch.arange(side, device=image.device) for side in image.shape[2:]), indexing="ij")
    offset = torch.stack(here, dim=-1) - center[:, None, None, None]
    there = torch.einsum("nij,nzyxj->nzyxi", matrix, offset) + middle[:, None, None, None]
    grid = (there / last * 2 - 1).flip(-1)
    from_face = (torch.minimum(there, last - there) / cubes.per_voxel).amin(dim=-1)  # in voxels of the patch
    source = torch.cat([torch.nan_to_num(cubes.image), tissue[:, None].float()], dim=1)
    sampled = F.grid_sample(source, grid, align_corners=True)
    labels = F.grid_sample(cubes.label[:, None].float(), grid, "nearest", align_corners=True)[:, 0].to(label.dtype)

    inside = brain & done[:, None, None, None] & (sampled[:, 4] > 0.5)
    opacity = (from_face / SEAM).clamp(0, 1) * inside
    mean, deviation = level_of(image, image > 0)
    new = (mean + deviation * sampled[:, :4]).clamp(min=LEAST)
    taken = torch.lerp(image, new, opacity[:, None] * (image > 0))
    return taken, torch.where(opacity >= 0.5, labels, label)
