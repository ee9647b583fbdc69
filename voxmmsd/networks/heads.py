"""What is put on the feature pyramid: the segmentation head."""

from __future__ import annotations

from torch import Tensor, nn

from voxmmsd.config import NetworkConfig
from voxmmsd.networks.unet3d import UNet3d


class SegmentationNetwork(nn.Module):
    """The U-Net with a 1^3 convolution from its finest features to class logits.

    Input ``(batch, 4, z, y, x)`` in [0, 1]; output ``(batch, class_count, z, y, x)`` logits, background first.
    """

    def __init__(self, config: NetworkConfig, class_count: int) -> None:
        super().__init__()
        self.unet = UNet3d(config)
        self.head = nn.Conv3d(config.channels[0], class_count, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.unet(image)[0])
