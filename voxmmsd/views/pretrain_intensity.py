"""Intensity augmentation for pre-training (``docs/method.md``, section 2, step 4), applied to a whole batch at once.

Parameters are drawn per block and modality. A change is applied to a block with probability ``p``, and then to each of
its modalities with probability ``each``. (In the authors' code some are applied with probability 1 - ``p``.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxmmsd.views.drawing import happens, uniform
from voxmmsd.views.intensity import blur


@dataclass(frozen=True)
class PretrainIntensityRanges:
    """Probabilities and ranges, in the order of application."""

    noise_std: float = 0.05
    blur_p: float = 0.8
    blur_each: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    factor_p: float = 0.85
    factor: tuple[float, float] = (0.75, 1.25)
    shift_p: float = 0.5
    shift_each: float = 0.8
    shift: tuple[float, float] = (0.0, 0.4)
    contrast_p: float = 0.5
    contrast: tuple[float, float] = (0.75, 1.25)
    gamma_p: float = 0.8
    gamma: tuple[float, float] = (0.7, 1.5)


@dataclass(frozen=True)
class PretrainIntensityDraw:
    """Drawn parameters per channel of the batch, ``(rows * channels,)``; neutral values leave it unchanged."""

    noise_std: float
    blur_sigma: Tensor
    factor: Tensor
    shift: Tensor
    contrast: Tensor
    gamma: Tensor


def draw_pretrain_intensity(
    rows: int, channels: int, ranges: PretrainIntensityRanges, generator: torch.Generator
) -> PretrainIntensityDraw:
    """Draw the parameters on the device of the generator."""

    def draw(span: tuple[float, float], p: float, neutral: float, each: float = 1.0) -> Tensor:
        value = uniform(span, (rows, channels), generator)
        changes = happens(p, (rows, 1), generator) & happens(each, (rows, channels), generator)
        return torch.where(changes, value, neutral).flatten()

    return PretrainIntensityDraw(
        noise_std=ranges.noise_std,
        blur_sigma=draw(ranges.blur_sigma, ranges.blur_p, 0.0, ranges.blur_each),
        factor=draw(ranges.factor, ranges.factor_p, 1.0),
        shift=draw(ranges.shift, ranges.shift_p, 0.0, ranges.shift_each),
        contrast=draw(ranges.contrast, ranges.contrast_p, 1.0),
        gamma=draw(ranges.gamma, ranges.gamma_p, 1.0),
    )


def change_pretrain_intensity(
    pieces: Tensor, channel: Tensor, shown: Tensor, draw: PretrainIntensityDraw, noise: Tensor
) -> Tensor:
    """Apply noise, blur, brightness factor and shift, contrast about the mean, and gamma within the channel's range.

    ``pieces`` ``(n, z, y, x)``: whole channels of a batch, or cells of them. ``channel`` ``(n,)``: the channel of each
    piece. ``noise``: standard normal, shaped like ``pieces``. Means and ranges are taken over the pieces that are
    ``shown`` ``(n,)``.

    Factor, shift and contrast are combined into one affine map of the blurred pieces, which also maps their range, so
    the voxels are read once for mean and range and once for the change.
    """
    changed = blur(noise.mul_(draw.noise_std).add_(pieces), draw.blur_sigma[channel])
    low, mean, high = _of_channels(changed.flatten(1), channel, shown, len(draw.factor))
    factor = draw.factor * draw.contrast
    shift = draw.shift * draw.contrast + (mean * draw.factor + draw.shift) * (1 - draw.contrast)
    # About half of the voxels are negative after the noise: a power needs numbers in [0, 1].
    span = (high - low).clamp(min=1e-6)

    def wide(parameter: Tensor) -> Tensor:
        return parameter[channel][:, None, None, None]

    unit = changed.sub_(wide(low)).div_(wide(span)).clamp_(min=0).pow_(wide(draw.gamma))
    return unit.mul_(wide(span * factor)).add_(wide(low * factor + shift))


def _of_channels(flat: Tensor, channel: Tensor, shown: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Minimum, mean and maximum per channel, ``(count,)``, of pieces ``(n, voxels)`` of equal size."""

    def over(values: Tensor, how: str, hidden: float) -> Tensor:
        start = torch.full((count,), hidden, device=flat.device)
        return start.scatter_reduce(0, channel, torch.where(shown, values, hidden), how)

    low, high = over(flat.amin(dim=1), "amin", torch.inf), over(flat.amax(dim=1), "amax", -torch.inf)
    number = over(torch.ones_like(shown, dtype=flat.dtype), "sum", 0.0).clamp(min=1)
    return low, over(flat.mean(dim=1), "sum", 0.0) / number, high
