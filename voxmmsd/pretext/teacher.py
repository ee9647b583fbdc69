"""The teacher: exponential moving average of the student's parameters (``docs/method.md``, section 6)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """Copies of the student's networks, without gradients.

    Only parameters are averaged. BatchNorm layers run in training mode and keep the teacher's own statistics.
    """

    def __init__(self, *students: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(copy.deepcopy(student) for student in students).requires_grad_(False)

    @torch.no_grad()
    def follow(self, *students: nn.Module, momentum: float) -> None:
        """Set every parameter to ``momentum * own + (1 - momentum) * student's``."""
        own: list[Tensor] = list(self.networks.parameters())
        theirs: list[Tensor] = [parameter for student in students for parameter in student.parameters()]
        torch._foreach_lerp_(own, theirs, 1 - momentum)
