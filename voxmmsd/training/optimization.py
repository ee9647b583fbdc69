"""The optimizer and its one step, which does nothing where the loss or a gradient is not finite."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD

from voxmmsd.networks.devices import Precision

LARGEST_GRADIENT = 12.0  # as nnU-Net clips; only rare outliers reach it


def make_optimizer(network: nn.Module, weight_decay: float, nesterov: bool) -> SGD:
    """SGD with momentum 0.9 over what takes gradients; weight decay on kernels only, not on biases and norms.

    Fused, since only that can skip a step by a flag on the device.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = SGD(groups, lr=0.0, momentum=0.9, nesterov=nesterov, fused=True)
    for parameter in parameters:  # torch would leave them uninitialized if the very first step is skipped
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def optimize(
    loss: Tensor,
    network: nn.Module,
    optimizer: SGD,
    precision: Precision,
    learning_rate: float,
    weight_decay: float | None = None,
) -> Tensor:
    """One step down the gradients that ``backward`` left, clipped; whether it was done, as a flag on the device.

    Where ``loss`` or a gradient is not finite, weights and momentum stay as they are. ``weight_decay`` where it
    changes with the step.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    if weight_decay is not None:
        optimizer.param_groups[0]["weight_decay"] = weight_decay
    precision.scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    finite = torch.isfinite(loss.detach()) & torch.isfinite(norm)
    if precision.scaler.is_enabled():
        precision.scaler.step(optimizer)  # looks at the gradients itself
        precision.scaler.update()
    else:
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    return finite


class KeptBuffers:
    """A network's buffers (BatchNorm's statistics, a center) as they were, to take a step back."""

    def __init__(self, network: nn.Module) -> None:
        self._buffers = list(network.buffers())
        self._before = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def undo_unless(self, flag: Tensor) -> None:
        """Back to what they were, unless ``flag``; without the host looking at it."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(torch.where(flag, buffer, before))

    @torch.no_grad()
    def undo(self) -> None:
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)
