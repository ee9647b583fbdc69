"""Voxel-wise contrastive learning: match the two voxels of a pair among all voxels (as vox2vec, Goncharov et al. 2023).

A competing method that measures the effect of self-distillation: the same blocks, masks and pairs, another loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voxmmsd.losses.contrast import contrast_loss
from voxmmsd.networks.heads import Projector
from voxmmsd.networks.voxel_features import voxel_features
from voxmmsd.pretext.method import PretextMethod
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.pairs import PairRecipe, draw_pairs
from voxmmsd.views.siamese import MaskRecipe, SiameseBlocks

EMBEDDING = 128


class VoxelContrast(PretextMethod):
    """The U-Net and a projector."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__(config)
        self.mask = MaskRecipe(config.mask_size, config.mask_ratio, hide_last=config.mask_after_augmentation)
        self.pairs = PairRecipe(config.pairs, config.candidates)
        self.projector = Projector(sum(config.channels[:-1]), EMBEDDING)

    def losses(self, blocks: SiameseBlocks, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        views = self.views(blocks, generator)
        pairs = draw_pairs(blocks, views, self.mask.cell, self.pairs, generator)
        with self.autocast():
            pyramid = self.unet(views.image.contiguous(memory_format=torch.channels_last_3d))
            embeddings = self.projector(voxel_features(pyramid, pairs.places).flatten(0, 1))
        first, second = embeddings.float().unflatten(0, (2, -1))
        return {"loss": contrast_loss(first, second, pairs.weight.flatten()), "pairs found": pairs.weight.mean()}
