"""The optimizer and its one step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxmmsd.networks.devices import Precision

LARGEST_GRADIENT = 12.0  # as nnU-Net clips; only rare outliers reach it


def make_optimizer(network: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum 0.9; weight decay on convolution kernels only, not on biases and norms.

    At a peak of 0.1 the loss falls as fast on real cases as with AdamW at 1e-2, and much faster than at 1e-3.
    """
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)


def optimize(
    loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, precision: Precision, learning_rate: float
) -> None:
    """One step down the gradient of ``loss``, clipped."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    precision.scaler.scale(loss).backward()
    precision.scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    precision.scaler.step(optimizer)
    precision.scaler.update()
