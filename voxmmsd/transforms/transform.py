"""What a transform is."""

from __future__ import annotations

from typing import Any, Protocol, Self

from torch import Generator, Size, Tensor

from voxmmsd.labels import LabelSchema


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
