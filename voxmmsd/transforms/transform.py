"""What a transform is: of a batch of patches, or of the place where a patch is cut."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from torch import Generator, Size, Tensor

from voxmmsd.labels import LabelSchema

LEAST = 1e-3  # tissue stays above it: 0 means no data, to the network and to the transforms that follow


@runtime_checkable
class Transform(Protocol):
    """Images are ``(batch, 4, z, y, x)`` of about 0 to 2, 0 outside the brain and where a modality is missing; labels
    are class indices ``(batch, z, y, x)``."""

    def bind(self, schema: LabelSchema) -> Self:
        """The same transform, knowing the class indices of the tissues that it changes.

        Raises:
            ConfigError: the schema lacks a tissue that it needs.
        """

    def draw(self, shape: Size, generator: Generator) -> Any:
        """Parameters for images of ``shape``, on the generator's device."""

    def apply(self, image: Tensor, label: Tensor, drawn: Any) -> tuple[Tensor, Tensor]:
        """Changed copies of image and label."""


@runtime_checkable
class PlaceTransform(Protocol):
    """A linear deformation, done where the patch is cut: it needs no second interpolation, and leaves no empty rim."""

    def bind(self, schema: LabelSchema) -> Self:
        """Itself."""

    def draw_matrix(self, rng: np.random.Generator) -> np.ndarray:
        """3x3, from patch offsets to case offsets (z, y, x)."""


class IntensityTransform:
    """What the transforms share that change intensities alone, whatever the labels mean; pre-training can use them."""

    def bind(self, schema: LabelSchema) -> Self:
        return self

    def draw(self, shape: Size, generator: Generator) -> Any:
        raise NotImplementedError

    def apply(self, image: Tensor, label: Tensor, drawn: Any) -> tuple[Tensor, Tensor]:
        return self.change(image, drawn), label

    def change(self, image: Tensor, drawn: Any) -> Tensor:
        """A changed copy of the images."""
        raise NotImplementedError


def kept(changed: Tensor, inside: Tensor) -> Tensor:
    """``changed`` where tissue was, above 0 there; exactly 0 elsewhere."""
    return changed.clamp(min=LEAST) * inside
