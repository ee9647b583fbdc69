"""Segment a volume window by window, blended by a Gaussian; one window where the volume fits into it.

MONAI's sliding window needs torch, which segmenting on a CPU does without; a test holds ours against it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np

from voxmmsd.data.preprocess import input_scale
from voxmmsd.inference.engines import Engine

OVERLAP = 0.25
SIGMA = 0.125  # of the window's side, as nnU-Net and MONAI blend
SMALLEST_WEIGHT = 1e-3


def window_starts(length: int, window: int, overlap: float = OVERLAP) -> list[int]:
    """First voxels of windows that cover ``length`` along one axis, the last one flush with the end."""
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, length - window, step), length - window]


def gaussian_weights(shape_zyx: tuple[int, int, int]) -> np.ndarray:
    """``shape_zyx`` float32: 1 in the middle, small at the rim, where a window sees least around it."""
    weights = np.ones((1, 1, 1), np.float32)
    for axis, length in enumerate(shape_zyx):
        distance = (np.arange(length) - (length - 1) / 2) / (SIGMA * length)
        line = np.exp(-0.5 * distance**2).astype(np.float32)
        weights = weights * line.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.maximum(weights / weights.max(), SMALLEST_WEIGHT)


def predict_flipped(
    image_czyx: np.ndarray, engine: Engine, window: int, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """The mean of ``predict_probabilities`` over the eight mirror images (test-time augmentation), mirrored back."""
    total: np.ndarray | None = None
    for number, axes in enumerate(_MIRRORS):

        def on_window(done: int, count: int, before: int = number) -> None:
            if progress:
                progress(before * count + done, len(_MIRRORS) * count)

        found = predict_probabilities(np.flip(image_czyx, axes), engine, window, progress=on_window)
        total = np.flip(found, axes).copy() if total is None else total + np.flip(found, axes)
    assert total is not None
    return total / len(_MIRRORS)


_MIRRORS = tuple(axes for count in range(4) for axes in combinations((1, 2, 3), count))


def predict_probabilities(
    image_czyx: np.ndarray,
    engine: Engine,
    window: int,
    overlap: float = OVERLAP,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Class probabilities of a prepared image: ``(4, z, y, x)`` uint8 to ``(class, z, y, x)`` float32.

    Logits are blended, not probabilities: where windows disagree the surer one then counts for more. A window without
    any voxel above 0 is background and is not computed. ``progress`` gets (windows done, windows in all).
    """
    padded, inside = _pad(image_czyx, engine.divisor)
    scale = input_scale(image_czyx)[:, None, None, None]
    shape = padded.shape[1:]
    size = tuple(min(length, _multiple(window, engine.divisor)) for length in shape)
    places = list(product(*(window_starts(n, w, overlap) for n, w in zip(shape, size, strict=True))))
    if len(places) == 1:
        logits = engine.logits((padded * scale)[None])[0]
        if progress:
            progress(1, 1)
    else:
        logits = _blended(padded, scale, engine, (size[0], size[1], size[2]), places, progress)
    return _softmax(logits[(slice(None), *inside)])


def _blended(
    image_czyx: np.ndarray,
    scale: np.ndarray,
    engine: Engine,
    size: tuple[int, int, int],
    places: list[tuple[int, ...]],
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    weights = gaussian_weights(size)
    total = np.zeros(image_czyx.shape[1:], np.float32)
    logits: np.ndarray | None = None
    for done, start in enumerate(places, start=1):
        box = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        part = image_czyx[(slice(None), *box)]
        if part.any():
            computed = engine.logits((part * scale)[None])[0]
            if logits is None:
                logits = np.zeros((len(computed), *image_czyx.shape[1:]), np.float32)
            computed *= weights
            logits[(slice(None), *box)] += computed
            total[box] += weights
        if progress:
            progress(done, len(places))
    if logits is None:
        raise ValueError("the image is all zero: nothing to segment")
    seen = total > 0
    np.divide(logits, total, out=logits, where=seen)
    logits[0, ~seen] = 1e4  # never computed: background for sure
    return logits


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=0, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0, keepdims=True)
    return logits


def _pad(image_czyx: np.ndarray, divisor: int) -> tuple[np.ndarray, tuple[slice, ...]]:
    """The image with zeros behind its ends, up to multiples of ``divisor``, and where the image lies in it."""
    shape = image_czyx.shape[1:]
    padding = [(0, _multiple(n, divisor) - n) for n in shape]
    inside = tuple(slice(0, n) for n in shape)
    return np.pad(image_czyx, [(0, 0), *padding]), inside


def _multiple(length: int, divisor: int) -> int:
    return -(-length // divisor) * divisor
