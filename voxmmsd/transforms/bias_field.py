"""Bias field: brightness that varies slowly over an image, as the coils of a scanner cause it.

Like MONAI's ``RandBiasField``, the exponential of a polynomial of Legendre's of total degree 3 with random
coefficients; here for a whole batch at once, and with a stated strength.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Size, Tensor

from voxmmsd.transforms.transform import IntensityTransform, kept
from voxmmsd.views.drawing import sometimes

DEGREE = 3


@dataclass(frozen=True)
class BiasField(IntensityTransform):
    """``p``: probability per image, whose modalities share one field. ``strength``: the largest logarithm of the
    field; with 0.3 it is within 0.74 to 1.35."""

    p: float = 0.2
    strength: tuple[float, float] = (0.1, 0.4)

    def draw(self, shape: Size, generator: Generator) -> tuple[Tensor, Tensor]:
        """Coefficients ``(batch, 4, 4, 4)`` by the degrees along z, y and x, and the strengths ``(batch,)``.

        Degrees above 3 in sum are 0, and so is the constant, which would be brightness.
        """
        coefficients = torch.randn(shape[0], *3 * (DEGREE + 1,), generator=generator, device=generator.device)
        degree = sum(torch.meshgrid(*3 * [torch.arange(DEGREE + 1, device=generator.device)], indexing="ij"))
        counts = (degree > 0) & (degree <= DEGREE)
        return coefficients * counts, sometimes(self.strength, self.p, 0.0, shape[:1], generator)

    def change(self, image: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        coefficients, strength = drawn
        log_field = polynomial(coefficients, image.shape[2:])
        peak = log_field.abs().amax(dim=(1, 2, 3)).clamp(min=1e-6)
        log_field = log_field * (strength / peak)[:, None, None, None]
        return kept(image * log_field.exp()[:, None], image > 0)


def polynomial(coefficients: Tensor, shape_zyx: Size) -> Tensor:
    """``(batch, z, y, x)``: sums of products of Legendre polynomials, whose argument runs from -1 to 1 on each axis."""
    z, y, x = (_legendre(torch.linspace(-1, 1, side, device=coefficients.device)) for side in shape_zyx)
    return torch.einsum("bijk,iz,jy,kx->bzyx", coefficients, z, y, x)


def _legendre(x: Tensor) -> Tensor:
    """Degrees 0 to 3, ``(4, n)``."""
    return torch.stack([torch.ones_like(x), x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
