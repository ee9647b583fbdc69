"""Voxel pairs: a point in both blocks, each with its own modality (``docs/method.md``, section 3: ORMS)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxmmsd.views.siamese import SiameseBlocks, SiameseViews


@dataclass(frozen=True)
class PairRecipe:
    """Pairs and candidates per case, and whether both voxels of a pair share a modality (ablation)."""

    count: int = 1024
    candidates: int = 2**18
    same_modality: bool = False


@dataclass(frozen=True)
class VoxelPairs:
    """``places``: ``(2B, count, 3)`` int64 voxels (z, y, x) of each block, in the order of the blocks, so that rows b
    and B + b are the same points of one scan. ``modalities``: ``(2B, count)``. ``weight``: ``(B, count)``, 0 for
    repeated pairs that pad a case with too few."""

    places: Tensor
    modalities: Tensor
    weight: Tensor


def draw_pairs(
    blocks: SiameseBlocks, views: SiameseViews, cell: int, recipe: PairRecipe, generator: torch.Generator
) -> VoxelPairs:
    """Draw points in the overlap of the two blocks of each case, and keep those visible in both views.

    A pair is kept if, in each view, the voxel of the drawn modality is not masked and is > 0. All candidates are drawn
    at once from the overlap box, without synchronizing with the host.
    """
    count_of_cases, device = len(blocks.present), generator.device
    size = blocks.image.shape[-1]

    def uniform(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    # Axes first, and indices as float32 (exact below 2 ** 24) until few candidates are left: several times faster.
    corners = blocks.corners.permute(2, 0, 1).float()  # (axis, view, case)
    low = corners.amax(dim=1)
    span = corners.amin(dim=1) + size - low
    candidates = (count_of_cases, recipe.candidates)
    places = (uniform((3, *candidates)) * span[:, :, None]).floor_().add_(low[:, :, None])
    first = _draw_modality(blocks.present, uniform(candidates))
    second = first if recipe.same_modality else _draw_modality(blocks.present, uniform(candidates))
    places = torch.cat([places - corners[:, view, :, None] for view in (0, 1)], dim=1)  # (axis, 2B, candidates)
    modalities = torch.cat([first, second])
    # Of all candidates one in 64 is visible twice; only some of these are then looked up in the blocks themselves.
    cells = ((places + 0.5) / cell).floor_()
    visible, enough = _both(_voxels(views.visible, modalities, cells)), min(4 * recipe.count, recipe.candidates)
    chosen, is_visible = _first(visible, enough)
    places, modalities = _take(places, modalities, chosen)
    positive = _both(_voxels(blocks.image, modalities, places.long()) > 0)
    chosen, is_found = _first(positive & is_visible, recipe.count)
    places, modalities = _take(places, modalities, chosen)
    return VoxelPairs(places.long().permute(1, 2, 0), modalities, is_found.float())


def _both(seen: Tensor) -> Tensor:
    """From ``(2B, n)`` to ``(B, n)``: true in view 1 and in view 2."""
    first, second = seen.chunk(2)
    return first & second


def _take(places: Tensor, modalities: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The candidates with the indices ``chosen`` ``(B, n)``, in both views."""
    chosen = chosen.repeat(2, 1)
    return places.gather(2, chosen.expand(3, -1, -1)), modalities.gather(1, chosen)


def _draw_modality(present: Tensor, uniform: Tensor) -> Tensor:
    """Indices ``(B, n)`` of present modalities, all equally likely, from numbers in [0, 1)."""
    order = torch.argsort((~present).int(), dim=1, stable=True)  # the present ones first
    return order.gather(1, (uniform * present.sum(dim=1, keepdim=True)).long())


def _voxels(values: Tensor, modalities: Tensor, places: Tensor) -> Tensor:
    """``values[row, modality, z, y, x]`` for ``(rows, n)`` modalities and ``(3, rows, n)`` places."""
    z, y, x = places
    _, _, depth, height, width = values.shape
    return values.flatten(1).gather(1, (((modalities * depth + z) * height + y) * width + x).long())


def _first(valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices ``(B, count)`` of the first valid candidates, repeated if too few, and False for repeats."""
    place = valid.cumsum(dim=1) - 1
    place = torch.where(valid & (place < count), place, count)  # the slot ``count`` takes what is not wanted
    index = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
    slots = torch.zeros(len(valid), count + 1, dtype=torch.long, device=valid.device).scatter_(1, place, index)
    slot = torch.arange(count, device=valid.device)
    found = valid.sum(dim=1, keepdim=True).clamp(max=count)
    return slots.gather(1, slot % found.clamp(min=1)), slot < found
