"""Self-distillation of voxel embeddings with a centered teacher (METHOD section 5, after DINO, Caron et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

STUDENT_TEMPERATURE = 0.1
CENTER_MOMENTUM = 0.9


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    teacher_temperature: float,
    weight: Tensor | None = None,
    count: Tensor | None = None,
) -> Tensor:
    """Cross-entropy between view a of the teacher and view b of the student, a != b; the mean of both, float32.

    ``student``, ``teacher``: embeddings ``(2, pairs, dimensions)``, view 1 and view 2; no gradient reaches the
    teacher. ``center``: ``(dimensions,)``. ``weight``: ``(pairs,)``, 0 for pairs that only fill up;
    ``count`` stands for their sum where other processes see other pairs.
    """
    targets = teacher_targets(teacher, center, teacher_temperature)
    log_student = torch.log_softmax(student.float() / STUDENT_TEMPERATURE, dim=-1)
    crossed = -(targets.flip(0) * log_student).sum(dim=-1)
    if weight is None:
        return crossed.mean()
    return (crossed * weight).sum() / (2 * (weight.sum().clamp(min=1) if count is None else count))


def teacher_targets(teacher: Tensor, center: Tensor, temperature: float) -> Tensor:
    """What the student is to say: softmax of the centered, sharpened embeddings, without gradient."""
    return torch.softmax((teacher.detach().float() - center) / temperature, dim=-1)


def mean_embedding(teacher: Tensor, weight: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """The mean ``(dimensions,)`` of both views' weighted pairs, which the center follows; as ``distillation_loss``."""
    teacher = teacher.detach().float()
    if weight is None:
        return teacher.mean(dim=(0, 1))
    count = weight.sum().clamp(min=1) if count is None else count
    return (teacher * weight[:, None]).sum(dim=(0, 1)) / (2 * count)


def moved_center(center: Tensor, mean: Tensor) -> Tensor:
    """The center after a step whose mean embedding is ``mean``."""
    return center * CENTER_MOMENTUM + mean * (1 - CENTER_MOMENTUM)
