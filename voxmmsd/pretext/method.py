"""The seam between a pretext method and the loop: views and losses from a batch of clean blocks.

A new method is a new file with a child of ``PretextMethod``, and its name in ``config.METHODS`` and ``open_method``.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from voxmmsd.config import NetworkConfig, PretrainConfig
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.views.siamese import SiameseBlocks, SiameseViews


class PretextMethod(nn.Module, ABC):
    """The network being pre-trained (``unet``), whatever the method puts around it, and its losses.

    All of a method's state is in its ``state_dict``. ``autocast`` opens the precision that networks run in; views and
    losses stay in float32.
    """

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet3d(NetworkConfig.of(config.channels))
        self.autocast: Callable[[], AbstractContextManager] = nullcontext

    def start_step(self) -> None:
        """Called before the first part of each batch, also when a step is tried again."""

    @abstractmethod
    def losses(self, blocks: SiameseBlocks, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars on the device: ``loss``, which is minimized, and whatever else is worth a curve."""

    def after_update(self, step: int) -> None:
        """What follows the optimizer's step, such as moving a teacher."""

    def warnings(self, means: dict[str, float]) -> list[str]:
        """What is wrong with the training, told from the means of what ``losses`` gave since the last look."""
        return []

    def restore(self, blocks: SiameseBlocks, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """What the network saw and made of it, both ``(2B, 4, s, s, s)``, for pictures; None if it restores nothing."""
        return None


def open_method(config: PretrainConfig) -> PretextMethod:
    """The method that ``config`` names."""
    files = {
        "vox-mmsd": ("vox_mmsd", "VoxMMSD"),
        "masked-autoencoding": ("masked_autoencoding", "MaskedAutoencoding"),
        "voxel-contrast": ("voxel_contrast", "VoxelContrast"),
    }
    file, name = files[config.method]
    return getattr(importlib.import_module(f"voxmmsd.pretext.{file}"), name)(config)


def restored(unet: nn.Module, head: nn.Module, views: SiameseViews) -> tuple[Tensor, Tensor]:
    """The views and what the networks, in evaluation mode, restore from them."""
    was_training = unet.training
    unet.eval()
    try:
        return views.image, torch.tanh(head(unet(views.image)[0]).float())
    finally:
        unet.train(was_training)
