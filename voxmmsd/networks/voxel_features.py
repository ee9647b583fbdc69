"""Gather the features of single voxels over all levels of the pyramid (``docs/method.md``, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def voxel_features(pyramid: Sequence[Tensor], places: Tensor) -> Tensor:
    """``(rows, n, sum of channels)``: each level's vector at ``place // 2 ** level``, finest first, concatenated.

    ``pyramid``: ``(rows, channels, z, y, x)`` per level; ``places``: ``(rows, n, 3)`` int64 voxels of level 0.
    """
    parts = []
    for level, features in enumerate(pyramid):
        z, y, x = (places // 2**level).unbind(-1)
        _, channels, _, height, width = features.shape
        index = ((z * height + y) * width + x)[..., None].expand(-1, -1, channels)
        # (rows, voxels, channels): a view, not a copy, of a channels-last tensor.
        parts.append(features.permute(0, 2, 3, 4, 1).flatten(1, 3).gather(1, index))
    return torch.cat(parts, dim=-1)
