"""Schedules as pure functions of the step (``docs/method.md``, section 6)."""

from __future__ import annotations

import math


def cosine(step: int, total: int, first: float, last: float) -> float:
    """Half a cosine from ``first`` at step 0 to ``last`` at step ``total``."""
    return last + (first - last) * (1 + math.cos(math.pi * step / total)) / 2


def warmed_cosine(step: int, total: int, warmup: int, peak: float, last: float) -> float:
    """Linear from 0 over ``warmup`` steps (``step / (warmup - 1)``), then a cosine over the remaining steps."""
    if step < warmup:
        return peak * step / max(1, warmup - 1)
    return cosine(step - warmup, total - warmup, peak, last)


def teacher_temperature(epoch: float, first: float = 0.04, last: float = 0.07, rising: float = 20) -> float:
    """Linear from ``first`` to ``last`` over the first ``rising`` of 300 epochs (``epoch / (rising - 1)``)."""
    return first + (last - first) * min(1.0, epoch / (rising - 1))
