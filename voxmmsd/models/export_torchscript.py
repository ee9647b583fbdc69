"""Export a segmentation network to TorchScript, which torch, MONAI and C++ load without this package."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from voxmmsd.errors import ModelError
from voxmmsd.networks.heads import SegmentationNetwork

MAX_DIFFERENCE = 1e-4  # of the largest logit


class XyzNetwork(nn.Module):
    """A network of ``(batch, channel, z, y, x)`` for arrays in MONAI's order ``(batch, channel, x, y, z)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image.permute(0, 1, 4, 3, 2).contiguous()).permute(0, 1, 4, 3, 2).contiguous()


def export_torchscript(network: SegmentationNetwork, file: Path, *, xyz: bool = False) -> None:
    """Write ``file``: the network of float32 windows whose sides are multiples of its divisor, in evaluation mode.

    ``xyz``: axes in MONAI's order instead of ``(batch, 4, z, y, x)``.

    Raises:
        ModelError: the exported network does not give torch's result on windows of other shapes.
    """
    network = network.eval().cpu()
    divisor, channels = network.unet.config.divisor, network.unet.config.in_channels
    traced_of: nn.Module = XyzNetwork(network).eval() if xyz else network
    with warnings.catch_warnings(), torch.inference_mode():
        # TorchScript is what MONAI bundles hold; torch announces its successor at every use.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.freeze(torch.jit.trace(traced_of, torch.zeros(1, channels, *3 * (2 * divisor,))))
        content = io.BytesIO()  # torch's own writing of files ends the process where the disk is full
        torch.jit.save(traced, content)
        file.write_bytes(content.getvalue())
        loaded = torch.jit.load(io.BytesIO(file.read_bytes()))
        generator = torch.Generator().manual_seed(0)
        for shape in ((1, channels, *3 * (2 * divisor,)), (2, channels, divisor, 2 * divisor, 3 * divisor)):
            image = torch.rand(shape, generator=generator)
            expected = traced_of(image)
            difference = float((loaded(image) - expected).abs().max() / expected.abs().max())
            if not difference <= MAX_DIFFERENCE:
                raise ModelError(
                    f"{file}: the exported network differs from torch's by {difference:.1e} of its output's range on "
                    f"windows {shape}",
                    "update torch",
                )
