"""Heads on the feature pyramid: segmentation, restoration, and the projector of voxel features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.unet3d import UNet3d


class SegmentationNetwork(nn.Module):
    """The U-Net with a 1^3 convolution from its finest features to class logits.

    Input ``(batch, 4, z, y, x)``, tissue about 0.5; output ``(batch, class_count, z, y, x)`` logits, background first.
    """

    def __init__(self, config: NetworkConfig, class_count: int) -> None:
        super().__init__()
        self.unet = UNet3d(config)
        self.head = nn.Conv3d(config.channels[0], class_count, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.unet(image)[0])


class Projector(nn.Sequential):
    """Voxel features ``(n, features)`` to embeddings ``(n, dimensions)``: two hidden layers as wide as the features.

    Computed in float32 also under autocast: in float16 large embeddings would overflow, and inf / inf is not a number.
    The few voxels of the pairs make this cheap.
    """

    def __init__(self, features: int, dimensions: int = 512) -> None:
        super().__init__(
            nn.Linear(features, features),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
            nn.Linear(features, features),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
            nn.Linear(features, dimensions),
        )

    def forward(self, features: Tensor) -> Tensor:
        """L2-normalized embeddings, float32."""
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(super().forward(features.to(next(self.parameters()).dtype)).float(), dim=-1)


def restoration_head(channels: int, modalities: int = 4) -> nn.Conv3d:
    """1^3 convolution from the finest features to the modalities; the loss applies tanh."""
    return nn.Conv3d(channels, modalities, 1)
