"""Tumors pasted into healthy tissue (after TumorCP, Yang et al. 2021, and CarveMix, Zhang et al. 2021).

The tumor comes from a bank, or from another patch of the batch. It is turned, mirrored and scaled at random, and put
where it meets the most healthy tissue of some random places. Its intensities, in standard deviations from the mean of
the brain it was cut from, become those of the healthy tissue around its new place. Its border is blended over a voxel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Size, Tensor

from voxmmsd.data.tumor_bank import MEAN, PER_DEVIATION, TumorBank
from voxmmsd.labels import LabelSchema
from voxmmsd.transforms.transform import LEAST
from voxmmsd.views.drawing import happens, uniform

PLACES = 16  # tried per image
MIN_HEALTHY = 0.9  # of the tumor's part inside the patch
MIN_HEALTHY_VOXELS = 500  # voxels of a modality of a donor: the deviation of fewer can be next to nothing
POINTS = 16  # along each side: the tumor's shape, where places are compared


@dataclass(frozen=True)
class Tumors:
    """``image`` ``(n, 4, z, y, x)`` in standard deviations from the mean of the brain, NaN where there is no data;
    ``label`` ``(n, z, y, x)`` class indices; ``per_voxel`` ``(3,)``: their voxels per voxel of the patches, along z, y,
    x."""

    image: Tensor
    label: Tensor
    per_voxel: Tensor

    @classmethod
    def of_bank(cls, bank: TumorBank, spacing_mm: float, device: torch.device) -> Tumors:
        """All tumors of a bank, on a device; images as stored (see ``in_deviations``), a quarter of the memory."""
        per_voxel = spacing_mm / torch.tensor(bank.voxel_mm_zyx, device=device)
        image, label = (torch.from_numpy(array).to(device) for array in (bank.image_nczyx, bank.label_nzyx))
        return cls(image, label, per_voxel)


@dataclass(frozen=True)
class Pasting:
    """Drawn parameters: which images ``(batch,)`` get which tumor ``(batch,)``, the matrix ``(batch, 3, 3)`` from
    offsets in the patch to offsets in the unscaled tumor, and places to try ``(batch, places, 3)`` in [0, 1)."""

    happens: Tensor
    donor: Tensor
    matrix: Tensor
    places: Tensor


@dataclass(frozen=True)
class Paste:
    """``p``: probability per image. ``scale``: size of the pasted tumor relative to the original.

    ``bank``: where tumors come from; None: from the patch before in the batch.
    """

    p: float = 0.2
    scale: tuple[float, float] = (0.75, 1.25)
    bank: Tumors | None = None
    classes: int = 0

    def bind(self, schema: LabelSchema) -> Paste:
        return replace(self, classes=schema.class_count)

    def draw(self, shape: Size, generator: Generator) -> Pasting:
        batch, device = shape[0], generator.device
        count = batch if self.bank is None else len(self.bank.label)
        low, high = (math.log(size) for size in self.scale)
        scale = uniform((low, high), (batch, 1, 1), generator).exp()
        donor = torch.randint(count, (batch,), generator=generator, device=device)
        return Pasting(
            happens=happens(self.p, (batch,), generator),
            donor=donor if self.bank else torch.arange(batch, device=device).roll(1),
            matrix=draw_turn(batch, generator) / scale,
            places=uniform((0.0, 1.0), (batch, PLACES, 3), generator),
        )

    def apply(self, image: Tensor, label: Tensor, drawn: Pasting) -> tuple[Tensor, Tensor]:
        tumors = self.bank if self.bank else self._of_batch(image, label)
        rows = drawn.happens.nonzero()[:, 0] if image.device.type == "cpu" else torch.arange(len(image))
        if not len(rows):
            return image, label
        donor = drawn.donor[rows]
        found = pasted(
            image[rows],
            label[rows],
            Tumors(in_deviations(tumors.image[donor]), tumors.label[donor], tumors.per_voxel),
            drawn.matrix[rows],
            drawn.places[rows],
            drawn.happens[rows],
        )
        image, label = image.clone(), label.clone()
        image[rows], label[rows] = found
        return image, label

    def _of_batch(self, image: Tensor, label: Tensor) -> Tumors:
        """The patches as donors; one whose tissues are open, or whose healthy tissue is too little to tell its level,
        has no tumor to give."""
        is_healthy = (image > 0) & (label == 0)[:, None]
        is_open = (label >= self.classes).flatten(1).any(dim=1)
        is_little = is_healthy.flatten(2).sum(dim=2) < MIN_HEALTHY_VOXELS
        gives = ~(is_open | (is_little & (image > 0).flatten(2).any(dim=2)).any(dim=1))
        label = torch.where(gives[:, None, None, None], label, torch.zeros_like(label))
        mean, deviation = level_of(image, is_healthy)
        normal = torch.where(image > 0, (image - mean) / deviation, torch.nan)
        return Tumors(normal, label, torch.ones(3, device=image.device))


def in_deviations(stored: Tensor) -> Tensor:
    """Tumors of a bank, uint8, in standard deviations from the mean of their brain; NaN: no data."""
    if stored.dtype != torch.uint8:
        return stored
    return torch.where(stored > 0, (stored.float() - MEAN) / PER_DEVIATION, torch.nan)


def pasted(
    image: Tensor, label: Tensor, tumors: Tumors, matrix: Tensor, places: Tensor, wanted: Tensor
) -> tuple[Tensor, Tensor]:
    """Paste a tumor each into images ``(n, 4, z, y, x)`` where ``wanted`` ``(n,)``; arguments as in ``Pasting``.

    Left as they are: images in which no place is healthy enough, and those with a modality that the tumor lacks.
    """
    brain = (image > 0).any(dim=1)
    healthy = brain & (label == 0)
    known = ~torch.isnan(tumors.image)
    matrix = tumors.per_voxel[None, :, None] * matrix
    middle = _centroid(tumors.label > 0)
    center, fit = _best_place(healthy, tumors.label > 0, matrix, middle, places)
    has, needs = known.flatten(2).any(dim=2), (image > 0).flatten(2).any(dim=2)
    done = wanted & (fit >= MIN_HEALTHY) & (has | ~needs).all(dim=1)

    here = torch.meshgrid(*(torch.arange(side, device=image.device) for side in image.shape[2:]), indexing="ij")
    offset = torch.stack(here, dim=-1) - center[:, None, None, None]
    there = torch.einsum("nij,nzyxj->nzyxi", matrix, offset) + middle[:, None, None, None]
    last = torch.tensor(tumors.label.shape[1:], device=image.device) - 1
    grid = (there / last * 2 - 1).flip(-1)
    is_tumor = (tumors.label > 0)[:, None].float()
    source = torch.cat([torch.nan_to_num(tumors.image), is_tumor], dim=1)
    sampled = F.grid_sample(source, grid, align_corners=True)
    labels = F.grid_sample(tumors.label[:, None].float(), grid, "nearest", align_corners=True)[:, 0].to(label.dtype)

    opacity = sampled[:, 4:] * (healthy & done[:, None, None, None])[:, None] * (image > 0)
    mean, deviation = level_of(image, (image > 0) & healthy[:, None])
    new = (mean + deviation * sampled[:, :4]).clamp(min=LEAST)
    covered = (sampled[:, 4] > 0.5) & healthy & done[:, None, None, None] & (labels > 0)
    return torch.lerp(image, new, opacity), torch.where(covered, labels, label)


def level_of(image: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(n, channel, 1, 1, 1)`` over ``inside``, shaped like the image."""
    count = inside.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
    mean = (image * inside).sum(dim=(2, 3, 4), keepdim=True) / count
    variance = ((image - mean).square() * inside).sum(dim=(2, 3, 4), keepdim=True) / count
    return mean, variance.sqrt().clamp(min=1e-6)


def draw_turn(count: int, generator: Generator) -> Tensor:
    """Rotations about random axes by any angle, half of them mirrored, ``(count, 3, 3)``.

    All rotations are equally likely: a quaternion of normal numbers, brought to unit length.
    """
    quaternion = torch.randn(count, 4, generator=generator, device=generator.device)
    w, x, y, z = F.normalize(quaternion, dim=1).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    turn = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return torch.where(happens(0.5, (count, 1, 1), generator), -turn, turn)


def _centroid(mask: Tensor) -> Tensor:
    """``(n, 3)`` of masks ``(n, z, y, x)``; 0 of empty ones."""
    count = mask.flatten(1).sum(dim=1).clamp(min=1)
    found = []
    for axis in range(3):
        place = torch.arange(mask.shape[axis + 1], device=mask.device, dtype=torch.float32)
        others = tuple(other + 1 for other in range(3) if other != axis)
        found.append((mask.sum(dim=others) * place).sum(dim=1) / count)
    return torch.stack(found, dim=1)


def _best_place(
    healthy: Tensor, tumor: Tensor, matrix: Tensor, middle: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """The place ``(n, 3)`` where most of the tumor's part inside the patch is healthy tissue, and how much ``(n,)``.

    A lattice of points of the tumor is moved to each place, where the nearest voxels are looked up.
    """
    sides = [torch.linspace(0, side - 1, POINTS, device=tumor.device) for side in tumor.shape[1:]]
    lattice = torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, 2)
    z, y, x = lattice.round().long().unbind(1)
    is_tumor = tumor[:, z, y, x]  # (n, points)
    offset = torch.linalg.solve(matrix, (lattice[None] - middle[:, None]).transpose(1, 2)).transpose(1, 2)
    shape = torch.tensor(healthy.shape[1:], device=healthy.device)
    centers = places * (shape - 1)
    there = (centers[:, :, None] + offset[:, None]).round().long()  # (n, places, points, 3)
    inside = ((there >= 0) & (there < shape)).all(dim=-1) & is_tumor[:, None]
    z, y, x = there.clamp(min=0).minimum(shape - 1).unbind(-1)
    index = (z * shape[1] + y) * shape[2] + x
    is_healthy = healthy.flatten(1).gather(1, index.flatten(1)).view_as(index)
    fit = (is_healthy & inside).sum(dim=-1) / inside.sum(dim=-1).clamp(min=1)
    best, which = fit.max(dim=1)
    return centers[torch.arange(len(centers), device=centers.device), which], best
