"""The interface of all engines, and the few array functions that differ between the host and a GPU.

Windows are cut, blended and compared where the arrays of the engine are: numpy and torch arrays support the same
indexing and arithmetic, so the same code serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from voxmmsd.errors import ModelError
from voxmmsd.inference.memory import free_bytes, release_freed_memory
from voxmmsd.labels import schema_named
from voxmmsd.models.package import ModelPackage


@contextmanager
def loading(package: ModelPackage) -> Iterator[None]:
    """Turn any error of a library on reading an ONNX file into a ModelError."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{package.onnx}: cannot be loaded ({reason})", "import or train the model again") from error


def refuse_other_network(package: ModelPackage, inputs: Sequence[str], output_rank: int, classes: int | None) -> None:
    """Raise ModelError for a network without an input ``image``, or with another number of classes than its schema."""
    expected = schema_named(package.info.schema).class_count
    if list(inputs) != ["image"] or output_rank != 5 or classes not in (None, expected):
        raise ModelError(
            f"{package.onnx}: takes {', '.join(inputs) or 'nothing'} and gives {classes or 'unknown'} classes along "
            f"{output_rank} axes, where image, {expected} and 5 are expected",
            "import or train the model again",
        )


class Arrays(Protocol):
    """Arrays of one kind, on one device."""

    def place(self, array: np.ndarray) -> Any:
        """A host array, brought there."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """float32."""
        ...

    def flip(self, array: Any, axes: tuple[int, ...]) -> Any: ...

    def softmax(self, logits: Any) -> Any:
        """Over the first axis; the logits may be overwritten."""
        ...

    def labels(self, probabilities: Any) -> np.ndarray:
        """The most probable class along the first axis, uint8, on the host."""
        ...

    def fetch(self, array: Any) -> np.ndarray:
        """float32 on the host."""
        ...


class Engine(Protocol):
    """A network ready to compute.

    ``divisor``: window sizes must be multiples of it. ``bytes_per_voxel``: peak memory for a window, per voxel, besides
    its input and output; ``bytes_fixed``: independent of its size. ``bytes_kept``: the part of these that is not
    released between two cases.
    """

    name: str
    divisor: int
    bytes_per_voxel: float
    bytes_fixed: int
    bytes_kept: int
    arrays: Arrays

    def logits(self, image_bczyx: Any) -> Any:
        """``(batch, 4, z, y, x)`` float32, tissue about 0.5, to ``(batch, class, z, y, x)`` float32; ``arrays``' kind.

        Raises:
            MemoryError: a window of this size does not fit.
        """
        ...

    def make_room(self, limit: int | None) -> int:
        """Release memory of earlier windows; returns the bytes available where the arrays are.

        ``limit``: for the whole process.
        """
        ...


class HostArrays:
    """numpy's."""

    def place(self, array: np.ndarray) -> np.ndarray:
        return array

    def zeros(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape, np.float32)

    def flip(self, array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return np.flip(array, axes)

    def softmax(self, logits: np.ndarray) -> np.ndarray:
        logits -= logits.max(axis=0, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=0, keepdims=True)
        return logits

    def labels(self, probabilities: np.ndarray) -> np.ndarray:
        best, labels = probabilities[0].copy(), np.zeros(probabilities.shape[1:], np.uint8)
        for index, probability in enumerate(probabilities[1:], start=1):  # a third of the time that argmax takes
            labels[probability > best] = index
            np.maximum(best, probability, out=best)
        return labels

    def fetch(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, np.float32)


HOST = HostArrays()


class HostEngine:
    """What engines on the CPU share. ``stop_if_asked`` raises where the user wishes to stop, also within a window."""

    stop_if_asked: Callable[[], None] | None = None
    arrays: Arrays = HOST
    bytes_per_voxel = 0.0
    bytes_fixed = bytes_kept = 0

    def make_room(self, limit: int | None) -> int:
        release_freed_memory()
        return free_bytes(limit)
