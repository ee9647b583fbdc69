"""The optimizers, and an optimization step that is skipped if the loss or a gradient is not finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from voxmmsd.compute.devices import Precision
from voxmmsd.compute.processes import mean_of_processes
from voxmmsd.networks.heads import SegmentationNetwork

MAX_GRADIENT = 12.0  # as nnU-Net clips; only rare outliers reach it


def sgd(network: nn.Module, weight_decay: float) -> SGD:
    """SGD with momentum 0.9 for trainable parameters, as published for pre-training (``docs/method.md``, section 6).

    Fused: only fused optimizers can skip a step by a flag on the device.
    """
    optimizer = SGD(_groups(network, weight_decay), lr=0.0, momentum=0.9, fused=True)
    for group in optimizer.param_groups:  # torch would leave them uninitialized if the very first step is skipped
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adamw(network: SegmentationNetwork, weight_decay: float, head_lr_scale: float) -> AdamW:
    """Fused AdamW for all trainable parameters; on real cases it learns rare labels in a third of the steps of SGD.

    ``head_lr_scale``: learning rate of the head relative to that of the body. BatchNorm keeps the input of a new head
    at unit scale, so logits can only grow with the weights of the head, and AdamW changes each weight by about the
    learning rate per step. With one learning rate for all layers the softmax stays near uniform for hundreds of steps.
    """
    body, head = _groups(network.unet, weight_decay), _groups(network.head, weight_decay, head_lr_scale)
    return AdamW([*body, *head], lr=0.0, fused=True)


def _groups(network: nn.Module, weight_decay: float, lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on kernels only, not on biases and norms.

    ``lr_scale`` multiplies the learning rate.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "lr_scale": lr_scale},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "lr_scale": lr_scale},
    ]


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restore the optimizer of a checkpoint; older ones call ``lr_scale`` ``pace``."""
    groups = [
        {"lr_scale" if key == "pace" else key: value for key, value in group.items()} for group in state["param_groups"]
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def optimize(
    loss: Tensor,
    network: nn.Module,
    optimizer: Optimizer,
    precision: Precision,
    learning_rate: float,
    weight_decay: float | None = None,
) -> Tensor:
    """Clip the gradients and take one step; returns whether it was taken, as a flag on the device.

    If ``loss`` or a gradient is not finite, weights and momentum are left unchanged. ``weight_decay``: given if it
    changes with the step.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["lr_scale"] * learning_rate
    if weight_decay is not None:
        optimizer.param_groups[0]["weight_decay"] = weight_decay
    precision.scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
    finite = torch.isfinite(loss.detach()) & torch.isfinite(norm)
    if precision.scaler.is_enabled():
        precision.scaler.step(optimizer)  # looks at the gradients itself
        precision.scaler.update()
    else:
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    return finite


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update ``average``, an exponential moving average of ``network``'s weights; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    torch._foreach_copy_(list(average.buffers()), list(network.buffers()))


@torch.no_grad()
def share_buffers(network: nn.Module) -> None:
    """Set ``network``'s floating-point buffers to their mean over the processes, in one exchange."""
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    _part(mean_of_processes(_joined(buffers)), buffers)


class BufferSnapshot:
    """A snapshot of a network's buffers (BatchNorm statistics, the center), to undo a step.

    Buffers are small and many, so those of one dtype are handled as one tensor: on a GPU, launching a kernel takes
    longer than the copy itself.
    """

    def __init__(self, network: nn.Module) -> None:
        kinds = dict.fromkeys(buffer.dtype for buffer in network.buffers())
        self._buffers = [[buffer for buffer in network.buffers() if buffer.dtype == kind] for kind in kinds]
        self._before = [_joined(buffers) for buffers in self._buffers]

    @torch.no_grad()
    def restore_unless(self, flag: Tensor) -> None:
        """Restore the snapshot unless ``flag`` is set, without synchronizing with the host."""
        for buffers, before in zip(self._buffers, self._before, strict=True):
            _part(torch.where(flag, _joined(buffers), before), buffers)

    @torch.no_grad()
    def undo(self) -> None:
        for buffers, before in zip(self._buffers, self._before, strict=True):
            _part(before, buffers)


def _joined(buffers: list[Tensor]) -> Tensor:
    return torch.cat([buffer.flatten() for buffer in buffers])


def _part(joined: Tensor, buffers: list[Tensor]) -> None:
    """Back from ``_joined``."""
    pieces = joined.split([buffer.numel() for buffer in buffers])
    torch._foreach_copy_(buffers, [piece.view_as(buffer) for piece, buffer in zip(pieces, buffers, strict=True)])
