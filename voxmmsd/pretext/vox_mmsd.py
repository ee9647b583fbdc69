"""Vox-MMSD: restoration of blocks masked per modality, and self-distillation of voxel pairs (Zhou et al., JBHI 2025).

Unlike in the authors' code, projector and restoration head are trained, the teacher has its own projector, and it
runs without an autograd graph (``docs/method.md``, section 7).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voxmmsd.compute.processes import mean_of_processes
from voxmmsd.losses.restoration import restoration_loss
from voxmmsd.losses.self_distillation import distillation_loss, mean_embedding, moved_center, teacher_targets
from voxmmsd.networks.heads import Projector, restoration_head
from voxmmsd.networks.voxel_features import voxel_features
from voxmmsd.pretext.method import PretextMethod, views_and_restoration
from voxmmsd.pretext.teacher import Teacher
from voxmmsd.schedules import cosine, teacher_temperature
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.pairs import PairRecipe, VoxelPairs, draw_pairs
from voxmmsd.views.siamese import MaskRecipe, SiameseBlocks, SiameseViews

EMBEDDING = 512
PUBLISHED_MOMENTUM = 0.996
MIN_SPREAD = 0.02  # embeddings of random directions have 1, equal ones 0


def first_momentum(steps: int) -> float:
    """The teacher's momentum at the first step: 0.996 as published, lower for runs of less than 2,500 steps.

    The momentum rises to 1 over the run, which makes ``steps * (1 - first) / 2`` time constants in all. With 0.996, the
    teacher of a 600-step run would still hold a third of its random initialization at the end; five time constants
    leave less than a hundredth.
    """
    return min(PUBLISHED_MOMENTUM, max(0.0, 1 - 10 / steps))


class VoxMMSD(PretextMethod):
    """Student (U-Net, projector, restoration head), teacher (U-Net, projector) and center."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__(config)
        self.restorer = restoration_head(config.channels[0])
        self.mask = MaskRecipe(
            config.mask_size,
            config.mask_ratio,
            config.same_mask_for_views,
            config.same_mask_for_modalities,
            hide_last=config.mask_after_augmentation,
        )
        self.pairs = PairRecipe(config.pairs, config.candidates, config.pairs_within_modality)
        levels = config.channels[:1] if config.single_scale else config.channels[:-1]
        self._levels = len(levels)
        self.projector = Projector(sum(levels), EMBEDDING)
        self.teacher = Teacher(self.unet, self.projector)
        self.center: Tensor
        self.register_buffer("center", torch.zeros(EMBEDDING))
        self._seen: list[Tensor] = []  # mean teacher embeddings of the parts of this step's batch
        self.restorer.requires_grad_(config.restoration)  # what an ablation leaves out gets no gradient
        self.projector.requires_grad_(config.distillation)

    def start_step(self) -> None:
        self._seen.clear()

    def losses(self, blocks: SiameseBlocks, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """``loss``, ``restoration``, ``distillation``; ``teacher entropy`` and ``embedding spread`` show collapse."""
        views = self.views(blocks, generator)
        pairs = draw_pairs(blocks, views, self.mask.cell, self.pairs, generator) if self.config.distillation else None
        return self.score(blocks, views, pairs, step)

    def score(
        self, blocks: SiameseBlocks, views: SiameseViews, pairs: VoxelPairs | None, step: int
    ) -> dict[str, Tensor]:
        """The losses for given views and pairs; without ``pairs`` only the restoration loss."""
        image = views.image.contiguous(memory_format=torch.channels_last_3d)
        with self.autocast():
            pyramid = self.unet(image)
        found = {}
        total = torch.zeros((), device=image.device)
        if self.config.restoration:
            with self.autocast():
                restored = self.restorer(pyramid[0])
            count = mean_of_processes(blocks.informative.sum()).clamp(min=1)
            found["restoration"] = restoration_loss(restored, blocks.image, blocks.informative, count)
            total = total + found["restoration"]
        if pairs is not None:
            distilled = self._distill(pyramid, image, pairs, step)
            total = total + self.config.distillation_weight * distilled["distillation"]
            found.update(distilled)
        return {"loss": total, **found}

    def _distill(self, pyramid: list[Tensor], image: Tensor, pairs: VoxelPairs, step: int) -> dict[str, Tensor]:
        with self.autocast():
            student = self._embed(pyramid, pairs, self.projector)
            with torch.no_grad():
                teacher_unet, teacher_projector = self.teacher.networks
                teacher = self._embed(teacher_unet(image), pairs, teacher_projector)
        temperature = teacher_temperature(300 * step / self.config.steps)
        weight = pairs.weight.flatten()
        count = mean_of_processes(weight.sum()).clamp(min=1)
        loss = distillation_loss(student, teacher, self.center, temperature, weight, count)
        with torch.no_grad():
            targets = teacher_targets(teacher, self.center, temperature)
            entropy = -(targets * targets.clamp(min=1e-12).log()).sum(dim=-1).mean() / math.log(EMBEDDING)
            spread = teacher.flatten(0, 1).std(dim=0).square().sum().sqrt()
            self._seen.append(mean_embedding(teacher, weight, count))
        return {
            "distillation": loss,
            "teacher entropy": entropy,
            "embedding spread": spread,
            "pairs found": weight.mean(),
        }

    def _embed(self, pyramid: list[Tensor], pairs: VoxelPairs, projector: torch.nn.Module) -> Tensor:
        """``(2, B * count, dimensions)``: features are gathered first, so that only these voxels are projected."""
        features = voxel_features(pyramid[: self._levels], pairs.places).flatten(0, 1)
        return projector(features).unflatten(0, (2, -1))

    def after_update(self, step: int) -> None:
        if self.config.distillation:
            mean = mean_of_processes(torch.stack(self._seen).mean(dim=0))
            # A step without finite embeddings must not spoil the center for all that follow.
            finite = torch.isfinite(mean).all()
            self.center.copy_(torch.where(finite, moved_center(self.center, mean), self.center))
            momentum = cosine(step, self.config.steps, first_momentum(self.config.steps), 1.0)
            self.teacher.follow(self.unet, self.projector, momentum=momentum)

    def warnings(self, means: dict[str, float]) -> list[str]:
        if means.get("embedding spread", 1.0) < MIN_SPREAD:
            return [
                f"the teacher's embeddings have collapsed to one point (spread {means['embedding spread']:.4f}, "
                "healthy is above 0.1): lower --learning-rate, or give more varied scans"
            ]
        return []

    @torch.no_grad()
    def restore(self, blocks: SiameseBlocks, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        if not self.config.restoration:
            return None
        return views_and_restoration(self.unet, self.restorer, self.views(blocks, generator))
