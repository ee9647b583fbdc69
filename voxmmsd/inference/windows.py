"""Sliding-window inference with Gaussian blending; a single window if memory allows.

MONAI's sliding window needs torch, which is not used to segment on a CPU; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from voxmmsd.data.preprocess import input_scale
from voxmmsd.data.volume import bounding_box
from voxmmsd.inference.engines.engine import Engine
from voxmmsd.inference.memory import multiple

OVERLAP = 0.25
SIGMA = 0.125  # of the window's side, as nnU-Net and MONAI blend
MIN_WEIGHT = 1e-3
_MIRRORS = tuple(axes for count in range(4) for axes in combinations((1, 2, 3), count))

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TissueBox:
    """Bounding box of the voxels above 0, enlarged to multiples of the network's divisor; may exceed the image.

    Only this box is computed; everything outside is background.
    """

    start_zyx: tuple[int, ...]
    shape_zyx: tuple[int, ...]
    image_zyx: tuple[int, ...]

    @classmethod
    def around(cls, image_czyx: np.ndarray, divisor: int) -> TissueBox:
        """Raises ValueError where every voxel is 0."""
        tight = bounding_box(np.asarray(image_czyx.any(axis=0)))
        if tight is None:
            raise ValueError("the image is all zero: nothing to segment")
        shape = tuple(multiple(side.stop - side.start, divisor) for side in tight)
        start = tuple(side.start - (n - (side.stop - side.start)) // 2 for side, n in zip(tight, shape, strict=True))
        return cls(start, shape, image_czyx.shape[1:])

    def cut(self, image_czyx: np.ndarray) -> np.ndarray:
        """The image there, 0 where the box reaches out of it."""
        out = np.zeros((len(image_czyx), *self.shape_zyx), image_czyx.dtype)
        out[:, *self._here] = image_czyx[:, *self._there]
        return out

    def put_back(self, computed: np.ndarray, image: np.ndarray) -> np.ndarray:
        """``image`` ``(..., z, y, x)`` with what was computed for the box in its place."""
        there: tuple = (..., *self._there)
        here: tuple = (..., *self._here)
        image[there] = computed[here]
        return image

    @property
    def _there(self) -> tuple[slice, ...]:
        ends = zip(self.start_zyx, self.shape_zyx, self.image_zyx, strict=True)
        return tuple(slice(max(0, s), min(n, s + length)) for s, length, n in ends)

    @property
    def _here(self) -> tuple[slice, ...]:
        return tuple(slice(t.start - s, t.stop - s) for s, t in zip(self.start_zyx, self._there, strict=True))


def window_starts(length: int, window: int, overlap: float = OVERLAP) -> list[int]:
    """First voxels of windows that cover ``length`` along one axis, the last one flush with the end."""
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, length - window, step), length - window]


def gaussian_weights(shape_zyx: tuple[int, ...]) -> np.ndarray:
    """``shape_zyx`` float32: 1 in the middle, small at the border, where a window has the least context."""
    weights = np.ones((1, 1, 1), np.float32)
    for axis, length in enumerate(shape_zyx):
        distance = (np.arange(length) - (length - 1) / 2) / (SIGMA * length)
        line = np.exp(-0.5 * distance**2).astype(np.float32)
        weights = weights * line.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.maximum(weights / weights.max(), MIN_WEIGHT)


def predict_probabilities(
    image_czyx: np.ndarray,
    engine: Engine,
    window: int | Sequence[int],
    overlap: float = OVERLAP,
    progress: Progress | None = None,
) -> np.ndarray:
    """Class probabilities of a prepared image: ``(4, z, y, x)`` uint8 to ``(class, z, y, x)`` float32."""
    return predict_classes(image_czyx, engine, window, overlap=overlap, progress=progress)[1]


def predict_flipped(
    image_czyx: np.ndarray, engine: Engine, window: int | Sequence[int], progress: Progress | None = None
) -> np.ndarray:
    """The mean of ``predict_probabilities`` over the eight mirror images (test-time augmentation), mirrored back."""
    return predict_classes(image_czyx, engine, window, tta=True, progress=progress)[1]


def predict_classes(
    image_czyx: np.ndarray,
    engine: Engine,
    window: int | Sequence[int],
    *,
    tta: bool = False,
    overlap: float = OVERLAP,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``(z, y, x)`` uint8 and probabilities ``(class, z, y, x)`` float32 of a prepared ``(4, z, y, x)`` uint8.

    ``window``: size of the windows in voxels, one number or three. Logits are blended, not probabilities, so the more
    certain of two overlapping windows has more weight. Voxels outside the box of the tissue, and in windows without
    tissue, are background. ``progress`` receives (windows done, total), starting with 0. All data stay on the device of
    the engine except for the labels and, at the end, the probabilities.

    Raises:
        MemoryError: windows of this size do not fit.
    """
    box, arrays = TissueBox.around(image_czyx, engine.divisor), engine.arrays
    image = arrays.place(box.cut(image_czyx))
    scale = arrays.place(input_scale(image_czyx)[:, None, None, None])
    sides = (window,) * 3 if isinstance(window, int) else window
    size = tuple(min(n, multiple(w, engine.divisor)) for n, w in zip(box.shape_zyx, sides, strict=True))
    mirrors = _MIRRORS if tta else ((),)
    total: Any = None
    for number, axes in enumerate(mirrors):

        def on_window(done: int, count: int, before: int = number) -> None:
            if progress and (done or not before):
                progress(before * count + done, len(mirrors) * count)

        logits = _blended(arrays.flip(image, axes), scale, engine, size, overlap, on_window)
        found = arrays.flip(arrays.softmax(logits), axes)
        if total is None:
            total = found
        else:
            total += found
    total /= len(mirrors)
    labels = box.put_back(arrays.labels(total), np.zeros(box.image_zyx, np.uint8))
    background = np.zeros((len(total), *box.image_zyx), np.float32)
    background[0] = 1
    return labels, box.put_back(arrays.fetch(total), background)


def _blended(image: Any, scale: Any, engine: Engine, size: tuple[int, ...], overlap: float, progress: Progress) -> Any:
    """Logits ``(class, z, y, x)`` of the whole box."""
    shape = tuple(image.shape[1:])
    places = list(product(*(window_starts(n, w, overlap) for n, w in zip(shape, size, strict=True))))
    progress(0, len(places))
    if len(places) == 1:
        logits = engine.logits((image * scale)[None])[0]
        progress(1, 1)
        return logits
    weights, total, logits = engine.arrays.place(gaussian_weights(size)), engine.arrays.zeros(shape), None
    for done, start in enumerate(places, start=1):
        inside = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        part = image[(slice(None), *inside)]
        if part.any():
            computed = engine.logits((part * scale)[None])[0]
            if logits is None:
                logits = engine.arrays.zeros((len(computed), *shape))
            computed *= weights
            logits[(slice(None), *inside)] += computed
            total[inside] += weights
        progress(done, len(places))
    unseen = total == 0
    total[unseen] = 1
    logits /= total
    logits[0][unseen] = 1e4  # never computed: background for sure
    return logits
