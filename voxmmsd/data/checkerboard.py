"""A picture of how two images lie on each other: squares of one and of the other by turns, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxmmsd.data.volume import Grid, Volume, canonical, resample
from voxmmsd.files import written_aside

SQUARES = 8  # along the longer side of a slice


def checkerboard(one: np.ndarray, other: np.ndarray, squares: int = SQUARES) -> np.ndarray:
    """``(rows, columns)``: squares of ``one`` and ``other`` by turns, ``one`` at the top left."""
    side = max(1, -(-max(one.shape) // squares))
    rows, columns = (np.arange(n) // side for n in one.shape)
    return np.where((rows[:, None] + columns) % 2 == 0, one, other)


def alignment_picture(fixed: Volume, moved: Sequence[tuple[str, Volume, Grid]], file: Path, title: str = "") -> Path:
    """Write a PNG: per moved modality a row before and a row after, in three planes through the middle of the head.

    ``moved``: heading, the volume as it was given, and its grid as aligned. The patient's right is on the left.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    still = canonical(fixed)
    grid = still.grid.with_spacing(1.0)
    under = _gray(resample(still, grid).array)
    middle = [int(np.average(np.arange(n), weights=_profile(under, axis))) for axis, n in enumerate(under.shape)]
    figure = Figure((9, 3.1 * 2 * len(moved) + 0.4), facecolor="black", layout="constrained")
    axes = figure.subplots(2 * len(moved), 3, squeeze=False)
    for number, (heading, volume, aligned) in enumerate(moved):
        for row, (state, place) in enumerate((("before", volume.grid), ("after", aligned))):
            over = _gray(resample(Volume(volume.array, place), grid).array)
            for axis in range(3):
                board = checkerboard(*(np.take(array, middle[axis], axis)[::-1, ::-1] for array in (under, over)))
                panel = axes[2 * number + row][axis]
                panel.imshow(board, cmap="gray", vmin=0, vmax=1)
                panel.set_axis_off()
            axes[2 * number + row][0].set_title(f"{heading}, {state}", color="white", fontsize=10, loc="left")
    figure.suptitle(title, color="white", fontsize=12)
    with written_aside(file) as aside:
        FigureCanvasAgg(figure).print_png(aside)
    return file


def _gray(array_zyx: np.ndarray) -> np.ndarray:
    """From 0 to 1, the 99th percentile of what is above 0 white."""
    bright = np.percentile(array_zyx[array_zyx > 0], 99) if (array_zyx > 0).any() else 1
    return np.clip(array_zyx / bright, 0, 1).astype(np.float32)


def _profile(array_zyx: np.ndarray, axis: int) -> np.ndarray:
    return array_zyx.sum(axis=tuple(other for other in range(3) if other != axis)) + 1e-6
