"""Intensity augmentation of images in the range of about 0 to 2, applied to a whole batch at once.

Images are ``(batch, channel, z, y, x)``; parameters are drawn per image and modality, ``(batch, channel)``. A neutral
parameter leaves its channel unchanged, so one pass handles a batch in which each image has different changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxmmsd.views.drawing import sometimes


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
    each = shape[:2]
    std = sometimes((0, ranges.noise_std), ranges.noise_p, 0.0, each, generator)
    noise = torch.randn(shape, generator=generator, device=generator.device) * wide(std)
    return IntensityDraw(
        brightness=sometimes(ranges.brightness, ranges.brightness_p, 1.0, each, generator),
        contrast=sometimes(ranges.contrast, ranges.contrast_p, 1.0, each, generator),
        gamma=sometimes(ranges.gamma, ranges.gamma_p, 1.0, each, generator),
        blur_sigma=sometimes(ranges.blur_sigma, ranges.blur_p, 0.0, each, generator),
        noise=noise,
    )


def change_intensity(image: Tensor, draw: IntensityDraw) -> Tensor:
    """Apply blur, brightness, contrast about the mean of the brain, gamma and noise; voxels that were 0 stay 0.

    Background and missing modalities thus stay exactly 0, the value for "no data".
    """
    inside = image > 0
    changed = blur(image, draw.blur_sigma) * wide(draw.brightness)
    changed = with_gamma(with_contrast(changed, draw.contrast, inside), draw.gamma) + draw.noise
    return changed * inside


def with_contrast(image: Tensor, factor: Tensor, inside: Tensor) -> Tensor:
    """Stretch by ``factor`` ``(batch, channel)`` about the mean of each channel over ``inside``, shaped like it."""
    count = inside.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
    mean = (image * inside).sum(dim=(2, 3, 4), keepdim=True) / count
    return (image - mean) * wide(factor) + mean


def with_gamma(image: Tensor, gamma: Tensor) -> Tensor:
    """Power ``gamma`` ``(batch, channel)``; 0 and 1 stay. Negative values count as 0: their power is not a number."""
    return image.clamp(min=0).pow(wide(gamma))


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


def wide(parameter: Tensor) -> Tensor:
    """``(batch, channel)`` to ``(batch, channel, 1, 1, 1)``."""
    return parameter[:, :, None, None, None]
