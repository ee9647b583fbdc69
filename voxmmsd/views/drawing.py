"""Random parameters of a batch of images, from an explicit generator and on its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def uniform(span: tuple[float, float], shape: Sequence[int], generator: Generator) -> Tensor:
    """Uniform numbers of ``shape`` in ``span``."""
    low, high = span
    return low + (high - low) * torch.rand(tuple(shape), generator=generator, device=generator.device)


def happens(p: float, shape: Sequence[int], generator: Generator) -> Tensor:
    """Bool of ``shape``, each true with probability ``p``."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device) < p


def sometimes(
    span: tuple[float, float], p: float, neutral: float, shape: Sequence[int], generator: Generator
) -> Tensor:
    """Uniform numbers in ``span`` with probability ``p``, else ``neutral``."""
    value = uniform(span, shape, generator)
    return torch.where(happens(p, shape, generator), value, neutral)
