"""Two overlapping blocks of one scan, hidden cell by cell in each modality (SiaBloMM; METHOD section 2).

Blocks of a batch of B cases lie in one tensor of ``2 * B`` rows: view 1 of all cases first, then view 2 of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxmmsd.views.disturbance import DisturbanceRanges, disturb, draw_disturbance

LEAST_OVERLAP = 0.25  # share of a block's volume


@dataclass(frozen=True)
class SiameseBlocks:
    """Clean blocks of B cases.

    ``image``: ``(2B, 4, s, s, s)`` in [0, 1], the restoration target. ``informative``: ``(2B, 4)`` bool, False where
    a modality is absent or constant in the block. ``corners``: ``(2, B, 3)`` int64, the blocks' first voxels in their
    case (z, y, x). ``present``: ``(B, 4)`` bool, the modalities that the cases have.
    """

    image: Tensor
    informative: Tensor
    corners: Tensor
    present: Tensor

    def part(self, number: int, count: int) -> SiameseBlocks:
        """Both views of part ``number`` of the cases, which are divided into ``count`` parts."""
        if count == 1:
            return self
        rows = [tensor.unflatten(0, (2, -1)).chunk(count, 1)[number] for tensor in (self.image, self.informative)]
        image, informative = (tensor.flatten(0, 1) for tensor in rows)
        corners = self.corners.chunk(count, 1)[number]
        return SiameseBlocks(image, informative, corners, self.present.chunk(count)[number])


@dataclass(frozen=True)
class MaskRecipe:
    """How blocks are hidden: side of the cells in voxels, share of hidden cells, and what is shared (ablations)."""

    cell: int = 16
    share: float = 0.875
    same_in_both_views: bool = False
    same_for_all_modalities: bool = False
    hide_last: bool = True


@dataclass(frozen=True)
class SiameseViews:
    """What the network sees of the blocks: ``image`` ``(2B, 4, s, s, s)``, and ``visible`` ``(2B, 4, g, g, g)`` bool
    per cell."""

    image: Tensor
    visible: Tensor


def draw_corners(shapes_zyx: Sequence[tuple[int, ...]], size: int, rng: np.random.Generator) -> np.ndarray:
    """First voxels of two blocks in each of B cases, ``(2, B, 3)`` int64.

    The blocks lie inside the case where it is large enough (else they begin at 0) and overlap by at least a quarter
    of their volume, by construction: along each axis they are shifted by at most ``1 - 4 ** (-1 / 3)`` of their side.
    """
    last = np.maximum(np.asarray(shapes_zyx) - size, 0)
    reach = int(size * (1 - LEAST_OVERLAP ** (1 / 3)))
    first = rng.integers(0, last + 1)
    second = rng.integers(np.maximum(first - reach, 0), np.minimum(first + reach, last) + 1)
    return np.stack([first, second])


def clean_blocks(raw: Tensor, corners: Tensor, present: Tensor) -> SiameseBlocks:
    """Min-max normalize raw uint8 blocks ``(2B, 4, s, s, s)`` per block and modality."""
    low = raw.amin(dim=(2, 3, 4), keepdim=True).float()
    span = raw.amax(dim=(2, 3, 4), keepdim=True).float() - low
    image = raw.float().sub_(low).div_(span.clamp(min=1))
    return SiameseBlocks(image, span.flatten(1) > 0, corners, present)


def draw_visible(rows: int, channels: int, size: int, recipe: MaskRecipe, generator: torch.Generator) -> Tensor:
    """Which cells stay visible, ``(rows, channels, g, g, g)`` bool; ``rows`` is even: view 1, then view 2.

    Each cell of each modality of each view is hidden on its own with probability ``recipe.share``.
    """
    cells = -(-size // recipe.cell)
    drawn_rows = rows // 2 if recipe.same_in_both_views else rows
    drawn_channels = 1 if recipe.same_for_all_modalities else channels
    shape = (drawn_rows, drawn_channels, cells, cells, cells)
    visible = torch.rand(shape, generator=generator, device=generator.device) >= recipe.share
    if recipe.same_in_both_views:
        visible = visible.repeat(2, 1, 1, 1, 1)
    return visible.expand(-1, channels, -1, -1, -1)


def hide(image: Tensor, visible: Tensor, cell: int) -> Tensor:
    """Set the hidden cells of ``image`` ``(rows, channels, s, s, s)`` to 0."""
    size = image.shape[-1]
    if size % cell == 0:  # without writing out a mask of voxels
        by_cell = image.unflatten(4, (-1, cell)).unflatten(3, (-1, cell)).unflatten(2, (-1, cell))
        return (by_cell * visible[:, :, :, None, :, None, :, None]).reshape(image.shape)
    per_voxel = visible
    for axis in (2, 3, 4):
        per_voxel = per_voxel.repeat_interleave(cell, dim=axis).narrow(axis, 0, size)
    return image * per_voxel


def make_views(
    blocks: SiameseBlocks, recipe: MaskRecipe, ranges: DisturbanceRanges, generator: torch.Generator
) -> SiameseViews:
    """Hide, disturb, and hide again: a hidden cell and a missing modality are then exactly 0.

    The authors disturb last, which leaves noise where nothing should be seen; ``hide_last`` False does as they do.
    """
    rows, channels, size = blocks.image.shape[:3]
    visible = draw_visible(rows, channels, size, recipe, generator)
    image = hide(blocks.image, visible, recipe.cell)
    image = disturb(image, draw_disturbance(image.shape, ranges, generator))
    if recipe.hide_last:
        image = hide(image, visible & blocks.informative[:, :, None, None, None], recipe.cell)
    return SiameseViews(image, visible)
