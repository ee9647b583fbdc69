"""The optimizer and its one step."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import SGD

from voxmmsd.networks.devices import Precision

LARGEST_GRADIENT = 12.0  # as nnU-Net clips; only rare outliers reach it


def make_optimizer(network: nn.Module, weight_decay: float, nesterov: bool) -> SGD:
    """SGD with momentum 0.9 over what takes gradients; weight decay on kernels only, not on biases and norms.

    At a peak of 0.1 the loss of fine-tuning falls as fast on real cases as with AdamW at 1e-2, and much faster than at
    1e-3.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return SGD(groups, lr=0.0, momentum=0.9, nesterov=nesterov)


def optimize(
    loss: Tensor,
    network: nn.Module,
    optimizer: SGD,
    precision: Precision,
    learning_rate: float,
    weight_decay: float | None = None,
) -> None:
    """One step down the gradient of ``loss``, clipped; ``weight_decay`` where it changes with the step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    if weight_decay is not None:
        optimizer.param_groups[0]["weight_decay"] = weight_decay
    optimizer.zero_grad(set_to_none=True)
    precision.scaler.scale(loss).backward()
    precision.scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    precision.scaler.step(optimizer)
    precision.scaler.update()
