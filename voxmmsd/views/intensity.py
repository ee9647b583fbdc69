"""Intensity augmentation of images in the range of about 0 to 2, applied to a whole batch at once.

Images are ``(batch, channel, z, y, x)``; parameters are drawn per image and modality, ``(batch, channel)``. A neutral
parameter leaves its channel unchanged, so one pass handles a batch in which each image has different changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class IntensityRanges:
    """Probability and range of each change; the defaults are those of fine-tuning.

    Changes are drawn per modality and image, so most images with four modalities get one or two. Stronger augmentation
    would hide what distinguishes the labels, which is the level of one modality relative to another.
    """

    noise_p: float = 0.15
    noise_std: float = 0.03
    blur_p: float = 0.1
    blur_sigma: tuple[float, float] = (0.3, 1.0)
    brightness_p: float = 0.15
    brightness: tuple[float, float] = (0.8, 1.2)
    contrast_p: float = 0.15
    contrast: tuple[float, float] = (0.8, 1.2)
    gamma_p: float = 0.15
    gamma: tuple[float, float] = (0.8, 1.25)


@dataclass(frozen=True)
class IntensityDraw:
    """Drawn parameters, each ``(batch, channel)``; ``noise`` is the scaled noise, shaped like the images."""

    brightness: Tensor
    contrast: Tensor
    gamma: Tensor
    blur_sigma: Tensor
    noise: Tensor


def draw_intensity(shape: torch.Size, ranges: IntensityRanges, generator: torch.Generator) -> IntensityDraw:
    """Draw for images of ``shape`` (batch, channel, z, y, x), on the generator's device."""
    device = generator.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape[:2], generator=generator, device=device)

    def sometimes(p: float, value: Tensor, neutral: float) -> Tensor:
        happens = torch.rand(shape[:2], generator=generator, device=device) < p
        return torch.where(happens, value, torch.full_like(value, neutral))

    std = sometimes(ranges.noise_p, uniform(0, ranges.noise_std), 0.0)
    noise = torch.randn(shape, generator=generator, device=device) * std[:, :, None, None, None]
    return IntensityDraw(
        brightness=sometimes(ranges.brightness_p, uniform(*ranges.brightness), 1.0),
        contrast=sometimes(ranges.contrast_p, uniform(*ranges.contrast), 1.0),
        gamma=sometimes(ranges.gamma_p, uniform(*ranges.gamma), 1.0),
        blur_sigma=sometimes(ranges.blur_p, uniform(*ranges.blur_sigma), 0.0),
        noise=noise,
    )


def change_intensity(image: Tensor, draw: IntensityDraw) -> Tensor:
    """Apply blur, brightness, contrast about the mean of the brain, gamma and noise; voxels that were 0 stay 0.

    Background and missing modalities thus stay exactly 0, the value for "no data".
    """
    inside = image > 0
    changed = blur(image, draw.blur_sigma) * _wide(draw.brightness)
    count = inside.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
    mean = (changed * inside).sum(dim=(2, 3, 4), keepdim=True) / count
    changed = (changed - mean) * _wide(draw.contrast) + mean
    changed = changed.clamp(min=0).pow(_wide(draw.gamma)) + draw.noise  # a power of a negative number is not a number
    return changed * inside


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian blur of ``(..., z, y, x)``, one ``sigma`` ``(...)`` in voxels each (0: none), edges repeated.

    Along each axis the blur of a channel is one matrix, and that of a batch one matrix product: on a CPU this is faster
    than a convolution with one kernel per channel, and it does not depend on the values of ``sigma``.
    """
    if image.device.type == "cpu":  # looking at ``sigma`` costs nothing here; on a GPU it would wait for the device
        wanted = sigma > 0
        out = image.clone()
        out[wanted] = _blurred(image[wanted], sigma[wanted])
        return out
    return _blurred(image.flatten(0, -4), sigma.flatten()).reshape(image.shape)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """``images`` ``(n, z, y, x)``, ``sigma`` ``(n,)``."""
    z, y, x = (blur_matrices(sigma, side) for side in images.shape[1:])
    images = (z @ images.flatten(2)).reshape(images.shape)
    return y[:, None] @ images @ x[:, None].transpose(-1, -2)


def blur_matrices(sigma: Tensor, side: int) -> Tensor:
    """``(n, side, side)``: row i holds the weights of all voxels for voxel i, truncated at 4 sigma."""
    place = torch.arange(-side, 2 * side, device=sigma.device, dtype=torch.float32)  # the repeated edges included
    offset = (place[side : 2 * side, None] - place).abs()
    width = sigma[:, None, None].float().clamp(min=1e-3)
    weights = torch.exp(-0.5 * (offset / width) ** 2) * (offset <= (4 * width).clamp(min=0.5))
    weights = weights / weights.sum(dim=-1, keepdim=True)
    inside = weights[..., side : 2 * side].clone()
    inside[..., 0] += weights[..., :side].sum(dim=-1)
    inside[..., -1] += weights[..., 2 * side :].sum(dim=-1)
    return inside


def _wide(parameter: Tensor) -> Tensor:
    return parameter[:, :, None, None, None]
