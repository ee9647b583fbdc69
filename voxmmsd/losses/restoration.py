"""Restoration loss of masked blocks (``docs/method.md``, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor


def restoration_loss(
    prediction: Tensor, target: Tensor, informative: Tensor | None = None, count: Tensor | None = None
) -> Tensor:
    """Mean absolute error of ``tanh(prediction)`` against the clean block over all voxels, a float32 scalar.

    Both ``(rows, 4, z, y, x)``. ``informative`` ``(rows, 4)`` excludes missing and constant modalities. ``count``
    replaces the number of informative ones if other processes have other blocks: their mean over all processes.
    """
    error = (torch.tanh(prediction.float()) - target).abs().mean(dim=(2, 3, 4))
    if informative is None:
        return error.mean()
    return (error * informative).sum() / (informative.sum().clamp(min=1) if count is None else count)
