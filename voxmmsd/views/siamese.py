"""Two overlapping blocks of one scan, masked cell by cell in each modality (``docs/method.md``, section 2: SiaBloMM).

The blocks of a batch of B cases are one tensor of ``2 * B`` rows: view 1 of all cases, then view 2 of all cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges, change_pretrain_intensity, draw_pretrain_intensity

MIN_OVERLAP = 0.25  # share of a block's volume


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
        """Both views of part ``number`` of the cases, after dividing them into ``count`` parts."""
        if count == 1:
            return self
        rows = [tensor.unflatten(0, (2, -1)).chunk(count, 1)[number] for tensor in (self.image, self.informative)]
        image, informative = (tensor.flatten(0, 1) for tensor in rows)
        corners = self.corners.chunk(count, 1)[number]
        return SiameseBlocks(image, informative, corners, self.present.chunk(count)[number])


@dataclass(frozen=True)
class MaskRecipe:
    """Masking: cell size in voxels, mask ratio, and what the views or modalities share (ablations)."""

    cell: int = 16
    share: float = 0.875
    same_in_both_views: bool = False
    same_for_all_modalities: bool = False
    hide_last: bool = True


@dataclass(frozen=True)
class SiameseViews:
    """The masked and augmented blocks: ``image`` ``(2B, 4, s, s, s)``, and ``visible`` ``(2B, 4, g, g, g)``, bool per
    cell."""

    image: Tensor
    visible: Tensor


def draw_corners(shapes_zyx: Sequence[tuple[int, ...]], size: int, rng: np.random.Generator) -> np.ndarray:
    """First voxels of two blocks in each of B cases, ``(2, B, 3)`` int64.

    The blocks are inside the case if it is large enough (otherwise they start at 0). They overlap by at least a quarter
    of their volume by construction: the shift along each axis is at most ``1 - 4 ** (-1 / 3)`` of the block size.
    """
    last = np.maximum(np.asarray(shapes_zyx) - size, 0)
    reach = int(size * (1 - MIN_OVERLAP ** (1 / 3)))
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
    """Draw the visible cells, ``(rows, channels, g, g, g)`` bool; ``rows`` is even: view 1, then view 2.

    Each cell of each modality of each view is masked independently with probability ``recipe.share``.
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
    """``image`` ``(rows, channels, s, s, s)`` with the masked cells set to 0."""
    hidden = by_cell(image, cell) * visible[..., None, None, None]
    return hidden.permute(0, 1, 2, 5, 3, 6, 4, 7).reshape(image.shape)


def by_cell(image: Tensor, cell: int) -> Tensor:
    """A view ``(rows, channels, g, g, g, cell, cell, cell)`` of ``(rows, channels, s, s, s)``."""
    split = image.unflatten(4, (-1, cell)).unflatten(3, (-1, cell)).unflatten(2, (-1, cell))
    return split.permute(0, 1, 2, 4, 6, 3, 5, 7)


def make_views(
    blocks: SiameseBlocks, recipe: MaskRecipe, ranges: PretrainIntensityRanges, generator: torch.Generator
) -> SiameseViews:
    """Mask most cells and augment the visible ones; masked cells and missing modalities are exactly 0.

    The authors augment whole blocks after masking, which leaves noise in masked cells and blurs masked into visible
    cells; ``hide_last`` False reproduces this. Otherwise only the visible eighth is computed. ``plain_views`` in the
    tests says the same in slow and simple lines.
    """
    rows, channels = blocks.image.shape[:2]
    visible = draw_visible(rows, channels, blocks.image.shape[-1], recipe, generator)
    draw = draw_pretrain_intensity(rows, channels, ranges, generator)
    if not recipe.hide_last:
        image = hide(blocks.image, visible, recipe.cell).flatten(0, 1)
        channel = torch.arange(len(image), device=image.device)
        image = change_pretrain_intensity(
            image, channel, torch.ones_like(channel, dtype=torch.bool), draw, _normal(image, generator)
        )
        return SiameseViews(image.unflatten(0, (rows, channels)), visible)
    shown = visible & blocks.informative[:, :, None, None, None]
    place = _cells_to_compute(shown)
    cells = by_cell(blocks.image, recipe.cell)[place]
    is_shown, channel = shown[place], place[0] * channels + place[1]
    changed = change_pretrain_intensity(cells, channel, is_shown, draw, _normal(cells, generator))
    image = torch.zeros_like(blocks.image)
    by_cell(image, recipe.cell)[place] = torch.where(is_shown[:, None, None, None], changed, 0.0)
    return SiameseViews(image, visible)


def _cells_to_compute(shown: Tensor) -> tuple[Tensor, ...]:
    """Indices (row, channel, z, y, x) of the cells that are shown; on a GPU of all, since to count would be to wait."""
    if shown.device.type == "cpu":
        return shown.nonzero(as_tuple=True)
    return torch.unravel_index(torch.arange(shown.numel(), device=shown.device), shown.shape)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device)
