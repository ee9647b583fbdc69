"""Voxel-wise contrastive loss (InfoNCE), for the competing method (as in vox2vec, Goncharov et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast_loss(first: Tensor, second: Tensor, weight: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE: identify the partner of each voxel among all voxels of both views. Returns a float32 scalar.

    ``first``, ``second``: unit embeddings ``(pairs, dimensions)`` of the two views; ``weight``: ``(pairs,)``. Pairs of
    weight 0 are excluded, both as queries and as candidates.
    """
    both = torch.cat([first, second]).float()
    weights = torch.cat([weight, weight])
    similarity = both @ both.T / temperature
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    similarity = similarity.masked_fill(itself | (weights == 0)[None], float("-inf"))
    # A pair of weight 0 has lost its partner, so its own entry stands in: finite, and without weight in the mean.
    similarity = torch.where((weights == 0)[:, None] & itself, 0.0, similarity)
    partner = torch.arange(len(both), device=both.device).roll(len(first))
    partner = torch.where(weights == 0, torch.arange(len(both), device=both.device), partner)
    losses = F.cross_entropy(similarity, partner, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1)
