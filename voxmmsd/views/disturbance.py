"""The intensity changes of pre-training (METHOD section 2.4): drawn per block and modality, applied to a batch at once.

Unlike the authors' code, ``p`` is the probability that a change happens. A change happens to a block with its ``p``
and then to each of its modalities with ``each``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxmmsd.views.intensity import blur


@dataclass(frozen=True)
class DisturbanceRanges:
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
class Disturbance:
    """Drawn parameters: ``noise`` in the images' shape, the others ``(rows, channels)``; neutral: nothing happens."""

    noise: Tensor
    blur_sigma: Tensor
    factor: Tensor
    shift: Tensor
    contrast: Tensor
    gamma: Tensor


def draw_disturbance(shape: torch.Size, ranges: DisturbanceRanges, generator: torch.Generator) -> Disturbance:
    """Draw for images of ``shape`` (rows, channels, z, y, x), on the generator's device."""
    device = generator.device

    def draw(span: tuple[float, float], p: float, neutral: float, each: float = 1.0) -> Tensor:
        value = span[0] + (span[1] - span[0]) * torch.rand(shape[:2], generator=generator, device=device)
        happens = torch.rand((shape[0], 1), generator=generator, device=device) < p
        happens = happens & (torch.rand(shape[:2], generator=generator, device=device) < each)
        return torch.where(happens, value, neutral)

    return Disturbance(
        noise=torch.randn(shape, generator=generator, device=device) * ranges.noise_std,
        blur_sigma=draw(ranges.blur_sigma, ranges.blur_p, 0.0, ranges.blur_each),
        factor=draw(ranges.factor, ranges.factor_p, 1.0),
        shift=draw(ranges.shift, ranges.shift_p, 0.0, ranges.shift_each),
        contrast=draw(ranges.contrast, ranges.contrast_p, 1.0),
        gamma=draw(ranges.gamma, ranges.gamma_p, 1.0),
    )


def disturb(image: Tensor, draw: Disturbance) -> Tensor:
    """Noise, blur, factor, shift, contrast about the mean, gamma within the image's own range: ``image``'s shape.

    Factor, shift and contrast are one affine map of the blurred image, and its range is mapped along: the voxels are
    passed over once for the mean and range, and once for the change.
    """
    changed = blur(image + draw.noise, draw.blur_sigma)
    flat = changed.flatten(2)
    low, high = flat.amin(dim=2), flat.amax(dim=2)  # several times faster than aminmax
    factor = draw.factor * draw.contrast
    mean = flat.mean(dim=2) * draw.factor + draw.shift
    shift = draw.shift * draw.contrast + mean * (1 - draw.contrast)
    # About half of the voxels are negative after the noise: a power needs numbers in [0, 1].
    span = (high - low).clamp(min=1e-6)
    unit = changed.sub_(_wide(low)).div_(_wide(span)).pow_(_wide(draw.gamma))
    return unit.mul_(_wide(span * factor)).add_(_wide(low * factor + shift))


def _wide(parameter: Tensor) -> Tensor:
    return parameter[:, :, None, None, None]
