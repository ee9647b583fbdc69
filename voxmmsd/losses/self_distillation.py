"""Self-distillation of voxel embeddings, after DINO (``docs/method.md``, section 5; Caron et al. 2021)."""

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
    """Cross-entropy between view a of the teacher and view b of the student, a != b; mean of both, float32.

    ``student``, ``teacher``: embeddings ``(2, pairs, dimensions)``, view 1 and view 2; no gradient reaches the
    teacher. ``center``: ``(dimensions,)``. ``weight``: ``(pairs,)``, 0 for padding. ``count`` replaces
    the sum of the weights if other processes have other pairs: their mean over all processes.
    """
    targets = teacher_targets(teacher, center, teacher_temperature)
    log_student = torch.log_softmax(student.float() / STUDENT_TEMPERATURE, dim=-1)
    crossed = -(targets.flip(0) * log_student).sum(dim=-1)
    if weight is None:
        return crossed.mean()
    return (crossed * weight).sum() / (2 * (weight.sum().clamp(min=1) if count is None else count))


def teacher_targets(teacher: Tensor, center: Tensor, temperature: float) -> Tensor:
    """Targets for the student: softmax of the centered and sharpened embeddings, without gradient."""
    return torch.softmax((teacher.detach().float() - center) / temperature, dim=-1)


def mean_embedding(teacher: Tensor, weight: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """Weighted mean ``(dimensions,)`` over the pairs of both views; arguments as for ``distillation_loss``."""
    teacher = teacher.detach().float()
    if weight is None:
        return teacher.mean(dim=(0, 1))
    count = weight.sum().clamp(min=1) if count is None else count
    return (teacher * weight[:, None]).sum(dim=(0, 1)) / (2 * count)


def moved_center(center: Tensor, mean: Tensor) -> Tensor:
    """Update the running center with the mean embedding of a step."""
    return center * CENTER_MOMENTUM + mean * (1 - CENTER_MOMENTUM)
