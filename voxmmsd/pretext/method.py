"""The interface between a pretext method and the training loop: views and losses from a batch of clean blocks.

To add a method, write a subclass of ``PretextMethod`` in a new file and name it in ``training_config.METHODS`` and
``open_method``.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.training_config import PretrainConfig
from voxmmsd.transforms.listed import make_intensity_transforms
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import MaskRecipe, SiameseBlocks, SiameseViews, make_views


class PretextMethod(nn.Module, ABC):
    """The network being pre-trained (``unet``), the other modules of the method, and its losses.

    All state of a method is in its ``state_dict``. Networks run under ``autocast``; views and losses stay in float32.
    """

    mask: MaskRecipe

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet3d(NetworkConfig.of(config.channels))
        self.autocast: Callable[[], AbstractContextManager] = nullcontext
        self.transforms = make_intensity_transforms(config.transforms)

    def views(self, blocks: SiameseBlocks, generator: torch.Generator) -> SiameseViews:
        """The masked and augmented views of clean blocks, which themselves stay as they are."""
        image = blocks.image
        for transform in self.transforms:
            image = transform.change(image, transform.draw(image.shape, generator))
        return make_views(replace(blocks, image=image), self.mask, PretrainIntensityRanges(), generator)

    def start_step(self) -> None:
        """Called before the first part of each batch, also if a step is repeated."""

    @abstractmethod
    def losses(self, blocks: SiameseBlocks, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars on the device: ``loss``, which is minimized, and others to be logged."""

    def after_update(self, step: int) -> None:
        """Called after each optimizer step, for example to update a teacher."""

    def warnings(self, means: dict[str, float]) -> list[str]:
        """Warnings about the training, given the mean of each value of ``losses`` since the last call."""
        return []

    def restore(self, blocks: SiameseBlocks, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """Input and restored output, both ``(2B, 4, s, s, s)``, for pictures; None if the method does not restore."""
        return None


def open_method(config: PretrainConfig) -> PretextMethod:
    """Create the method named by ``config``."""
    files = {
        "vox-mmsd": ("vox_mmsd", "VoxMMSD"),
        "masked-autoencoding": ("masked_autoencoding", "MaskedAutoencoding"),
        "voxel-contrast": ("voxel_contrast", "VoxelContrast"),
    }
    file, name = files[config.method]
    return getattr(importlib.import_module(f"voxmmsd.pretext.{file}"), name)(config)


def views_and_restoration(unet: nn.Module, head: nn.Module, views: SiameseViews) -> tuple[Tensor, Tensor]:
    """The views and their restoration by the networks in evaluation mode."""
    was_training = unet.training
    unet.eval()
    try:
        return views.image, torch.tanh(head(unet(views.image)[0]).float())
    finally:
        unet.train(was_training)
