"""Inference with the largest windows that memory allows, and smaller ones if these do not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference.engines import Engine
from voxmmsd.inference.memory import window_bytes, windows_down
from voxmmsd.inference.windows import Progress, TissueBox, predict_classes


@dataclass(frozen=True)
class TiledPrediction:
    """``label_zyx`` uint8, ``probabilities_czyx`` float32, and a note if it was not computed at once."""

    label_zyx: np.ndarray
    probabilities_czyx: np.ndarray
    note: str


def predict_tiled(
    image_czyx: np.ndarray,
    engine: Engine,
    classes: int,
    window: int = 0,
    memory: int | None = None,
    *,
    tta: bool = False,
    progress: Progress | None = None,
) -> TiledPrediction:
    """Segment a prepared ``(4, z, y, x)`` uint8 at once if memory allows, else in the largest windows that fit.

    ``window``: maximum size (0: the whole). ``memory``: limit for the whole process, in bytes.

    Raises:
        MemoryBudgetError: even the smallest windows do not fit.
    """
    whole = TissueBox.around(image_czyx, engine.divisor).shape_zyx
    start = tuple(min(window, side) for side in whole) if window else whole
    sums = 4 * math.prod(whole) * (classes * (2 + tta) + 1)
    room, needed = engine.make_room(memory) - sums - engine.bytes_fixed, 0
    for size in windows_down(start, engine.divisor):
        needed = window_bytes(size, engine.bytes_per_voxel, classes)
        if needed > room:
            continue
        try:
            label, probabilities = predict_classes(image_czyx, engine, size, tta=tta, progress=progress)
        except MemoryError:
            engine.make_room(memory)
            continue
        if memory is not None:
            engine.make_room(memory)  # what follows takes memory too
        fits = all(n >= side for n, side in zip(size, start, strict=True))
        sides = " x ".join(map(str, size[::-1]))
        return TiledPrediction(
            label, probabilities, "" if fits else f"computed in windows of {sides}: memory allows no larger"
        )
    left, takes = (f"{max(0, value) / 2**20:.0f} MiB" for value in (room, needed))
    raise MemoryBudgetError(
        f"{left} are left for {engine.name}, the smallest windows take {takes}",
        "allow more with --memory, or close other programs",
    )
