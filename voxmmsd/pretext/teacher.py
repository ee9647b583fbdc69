"""A teacher that follows its student: the exponential moving average of its parameters (METHOD section 6)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """Copies of the student's networks that no gradient reaches.

    Only parameters are averaged: BatchNorm runs in training mode on the teacher's own batches and keeps its own
    statistics.
    """

    def __init__(self, *students: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(copy.deepcopy(student) for student in students).requires_grad_(False)

    @torch.no_grad()
    def follow(self, *students: nn.Module, momentum: float) -> None:
        """Move every parameter to ``momentum * own + (1 - momentum) * student's``."""
        own: list[Tensor] = list(self.networks.parameters())
        theirs: list[Tensor] = [parameter for student in students for parameter in student.parameters()]
        torch._foreach_lerp_(own, theirs, 1 - momentum)
