"""The 3-D U-Net of Vox-MMSD, whose decoder returns a feature pyramid (``docs/method.md``, section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxmmsd.model_config import NetworkConfig


class ConvBlock(nn.Sequential):
    """Two 3^3 convolutions, each with BatchNorm and LeakyReLU(0.01), dropout between them."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm3d(out_channels),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Dropout(dropout),
            nn.Conv3d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm3d(out_channels),
            nn.LeakyReLU(0.01, inplace=True),
        )


class UpBlock(nn.Module):
    """Upsampling: 1^3 convolution to the channels of the skip connection, trilinear x2, concatenation, block."""

    def __init__(self, deep_channels: int, skip_channels: int, dropout: float) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(deep_channels, skip_channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True)
        self.block = ConvBlock(2 * skip_channels, skip_channels, dropout)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.block(torch.cat([skip, self.enlarge(self.reduce(deep))], dim=1))


class UNet3d(nn.Module):
    """Encoder and decoder.

    Input ``(batch, in_channels, z, y, x)`` with sides that are multiples of ``config.divisor``. Output: the decoder's
    features, finest first: ``channels[0]`` at full resolution, ``channels[1]`` at 1/2, ... ``channels[-2]``. The
    deepest level has no decoder stage and is not part of the pyramid.

    ``recompute``: activation checkpointing. In training keep only the activations between blocks and recompute the
    others in the backward pass: the same numbers with less memory and more time.
    """

    recompute = False

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, dropout = config.channels, config.dropout
        inputs = (config.in_channels, *channels)
        self.config = config
        self.encoder = nn.ModuleList(ConvBlock(i, o, p) for i, o, p in zip(inputs, channels, dropout, strict=False))
        self.down = nn.MaxPool3d(2)
        self.decoder = nn.ModuleList(
            UpBlock(channels[level + 1], channels[level], dropout[level])
            for level in reversed(range(len(channels) - 1))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [self._run(self.encoder[0], image)]
        for block in list(self.encoder)[1:]:
            features.append(self._run(block, self.down(features[-1])))
        deep = features.pop()
        pyramid = []
        for up in self.decoder:
            deep = self._run(up, deep, features.pop())
            pyramid.append(deep)
        return pyramid[::-1]

    def _run(self, block: nn.Module, *inputs: Tensor) -> Tensor:
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return block(*inputs)

        def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
            return nullcontext(), _statistics_kept(block)

        return checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Do not let the recomputation update BatchNorm's running statistics a second time."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm)]
    before = [(norm.momentum, norm.state_dict()["num_batches_tracked"].clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.state_dict()["num_batches_tracked"].copy_(count)
