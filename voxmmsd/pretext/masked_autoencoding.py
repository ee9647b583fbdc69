"""Masked autoencoding: one mask for all modalities, without distillation (after He et al. 2022).

A competing method that measures the effect of masking each modality independently: network, blocks and augmentations
are those of Vox-MMSD, only the mask differs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voxmmsd.losses.restoration import restoration_loss
from voxmmsd.networks.heads import restoration_head
from voxmmsd.pretext.method import PretextMethod, views_and_restoration
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.siamese import MaskRecipe, SiameseBlocks


class MaskedAutoencoding(PretextMethod):
    """The U-Net and a restoration head."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__(config)
        self.restorer = restoration_head(config.channels[0])
        self.mask = MaskRecipe(
            config.mask_size, config.mask_ratio, same_for_all_modalities=True, hide_last=config.mask_after_augmentation
        )

    def losses(self, blocks: SiameseBlocks, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        views = self.views(blocks, generator)
        with self.autocast():
            prediction = self.restorer(self.unet(views.image.contiguous(memory_format=torch.channels_last_3d))[0])
        return {"loss": restoration_loss(prediction, blocks.image, blocks.informative)}

    @torch.no_grad()
    def restore(self, blocks: SiameseBlocks, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return views_and_restoration(self.unet, self.restorer, self.views(blocks, generator))
