"""Pictures: a segmentation over its images, and the curves of a training.

Drawn through matplotlib's objects, never its global state, so that a caller's own figures are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from voxmmsd.colors import BRAIN_COLOR, LINE_COLORS, REGION_COLORS
from voxmmsd.data.volume import Grid, Volume, canonical
from voxmmsd.files import written_aside
from voxmmsd.labels import MODALITIES, MODALITY_NAMES, LabelSchema

BACKGROUND, TEXT = "#111418", "#e8eaed"
_OPACITY = 0.55
_OUTLINE = "#{:02x}{:02x}{:02x}".format(*REGION_COLORS["WT"])  # a white that nobody takes for a tissue
LINES = tuple((red / 255, green / 255, blue / 255) for red, green, blue in LINE_COLORS)
"""Colors of a chart's lines in their order, as matplotlib takes them."""
# Axis of a canonical RAS array (z, y, x), its name, and the letters at the left and top of its picture.
_PLANES = ((0, "axial", "R", "A"), (1, "coronal", "R", "S"), (2, "sagittal", "A", "S"))
_THROUGH = (0.2, 0.4, 0.6, 0.8)  # of a mask's extent


def overlay_picture(
    image_czyx: np.ndarray,
    present: Sequence[bool],
    label_zyx: np.ndarray,
    schema: LabelSchema,
    grid: Grid,
    file: Path,
    title: str = "",
    reference_label_zyx: np.ndarray | None = None,
) -> Path:
    """Write a PNG: axial, coronal and sagittal slices through the tumor, every modality and the overlay.

    Arrays are canonical RAS (a prepared case): ``(4, z, y, x)`` and ``(z, y, x)`` class indices. The patient's right is
    on the picture's left, as radiologists look. An expert's labels, where given, are drawn as white outlines.
    """
    shown = [channel for channel, there in enumerate(present) if there]
    under = _underlay(present)
    places = tumor_slices(label_zyx if label_zyx.any() else reference_label_zyx, label_zyx.shape)
    heights = [slice_extent(grid, axis)[1] / slice_extent(grid, axis)[0] for axis, *_ in _PLANES]
    columns = len(shown) + 1
    width = 2.6 * columns
    figure = Figure((width, 2.6 * sum(heights) + 1.0), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(3, columns, squeeze=False, height_ratios=heights)
    for row, (axis, name, left, top) in enumerate(_PLANES):
        aspect = slice_extent(grid, axis)[2]
        labels = seen_slice(label_zyx, axis, places[axis])
        for column, channel in enumerate([*shown, under]):
            panel = axes[row][column]
            panel.imshow(
                seen_slice(image_czyx[channel], axis, places[axis]), cmap="gray", vmin=0, vmax=255, aspect=aspect
            )
            panel.set_axis_off()
            if row == 0:
                heading = MODALITY_NAMES[MODALITIES[channel]] if column < len(shown) else "segmentation"
                panel.set_title(heading, color=TEXT, fontsize=11)
            if column == 0:
                letters(panel, left, top, f"{name} {places[axis]}")
        last = axes[row][-1]
        last.imshow(_colored(labels, schema), aspect=aspect)
        if reference_label_zyx is not None:
            _outline(last, seen_slice(reference_label_zyx, axis, places[axis]), schema)
    figure.legend(handles=_legend(label_zyx, reference_label_zyx, schema, grid), loc="outside lower center", ncols=4,
                  frameon=False, labelcolor=TEXT, fontsize=10)  # fmt: skip
    figure.suptitle(title, color=TEXT, fontsize=13)
    return save_figure(figure, file)


def mask_picture(head: Volume, mask_zyx: np.ndarray, file: Path, title: str = "") -> Path:
    """Write a PNG of a brain mask, bool ``(z, y, x)``, as an outline over the head on whose grid it lies.

    Four slices of each plane, evenly through the mask; they are turned as in ``overlay_picture``.
    """
    turned = canonical(head)
    inside = canonical(Volume(mask_zyx.astype(np.uint8), head.grid)).array > 0
    brightest = float(np.percentile(turned.array, 99.5)) or 1.0
    heights = [slice_extent(turned.grid, axis)[1] / slice_extent(turned.grid, axis)[0] for axis, *_ in _PLANES]
    figure = Figure((10.4, 2.6 * sum(heights) + 0.7), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(3, len(_THROUGH), squeeze=False, height_ratios=heights)
    for row, (axis, name, left, top) in enumerate(_PLANES):
        extent = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (extent[0], extent[-1]) if extent.size else (0, inside.shape[axis] - 1)
        for panel, share in zip(axes[row], _THROUGH, strict=True):
            place = round(first + share * (last - first))
            shown = seen_slice(turned.array, axis, place)
            panel.imshow(shown, cmap="gray", vmin=0, vmax=brightest, aspect=slice_extent(turned.grid, axis)[2])
            panel.set_axis_off()
            outline = seen_slice(inside, axis, place)
            if outline.any() and not outline.all():
                panel.contour(outline, levels=[0.5], colors=[rgb(BRAIN_COLOR)], linewidths=1.0)
            letters(panel, left, top, f"{name} {place}")
    figure.suptitle(title, color=TEXT, fontsize=13)
    return save_figure(figure, file)


def tumor_slices(label_zyx: np.ndarray | None, shape_zyx: tuple[int, ...]) -> tuple[int, ...]:
    """Along each axis the slice with most labeled voxels; the middle slice if there is no label."""
    if label_zyx is None or not label_zyx.any():
        return tuple(n // 2 for n in shape_zyx)
    others = ((1, 2), (0, 2), (0, 1))
    return tuple(int((label_zyx > 0).sum(axis=axes).argmax()) for axes in others)


def curves_picture(curves: Mapping[str, Sequence[tuple[int, float]]], file: Path, title: str = "") -> Path:
    """Write a PNG of a run's metrics over its steps, as ``runs.curves`` reads them: the loss, and validation Dice."""
    figure = Figure((10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for panel in (left, right):
        panel.set_prop_cycle(color=LINES)
    _curve(left, curves.get("loss", ()), "loss")
    left.set(title="Training loss", xlabel="step")
    for name, curve in curves.items():
        if name.startswith("validation Dice"):
            _curve(right, curve, name.removeprefix("validation Dice").strip() or "mean")
    right.set(title="Validation Dice", xlabel="step", ylim=(0, 1))
    if right.lines:
        right.legend(frameon=False)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    figure.suptitle(title)
    return save_figure(figure, file)


def restoration_picture(
    seen_czyx: np.ndarray, restored_czyx: np.ndarray, truth_czyx: np.ndarray, present: Sequence[bool], file: Path
) -> Path:
    """Write a PNG of a block's middle axial slice: a row per modality; masked, restored and true side by side.

    All ``(4, z, y, x)`` in canonical RAS; ``truth_czyx`` in [0, 1] gives the gray scale of all three.
    """
    figure = Figure((6.2, 8.4), layout="constrained", facecolor=BACKGROUND)
    axes = figure.subplots(4, 3, squeeze=False)
    for channel, name in enumerate(MODALITIES):
        for column, (heading, array) in enumerate(
            (("seen", seen_czyx), ("restored", restored_czyx), ("truth", truth_czyx))
        ):
            panel = axes[channel][column]
            panel.set_axis_off()
            panel.imshow(seen_slice(array[channel], 0, array.shape[1] // 2), cmap="gray", vmin=0, vmax=1)
            if channel == 0:
                panel.set_title(heading, color=TEXT, fontsize=11)
        label = MODALITY_NAMES[name] + ("" if present[channel] else " (nothing here)")
        axes[channel][0].text(0.02, 0.96, label, color=TEXT, fontsize=8, va="top", transform=axes[channel][0].transAxes)
    return save_figure(figure, file)


def validation_picture(
    image_czyx: np.ndarray,
    present: Sequence[bool],
    predicted_zyx: np.ndarray,
    reference_zyx: np.ndarray,
    schema: LabelSchema,
    file: Path,
) -> Path:
    """Write a small PNG of the axial slice with most tumor: the image, the prediction, the expert's labels.

    Arrays as in ``overlay_picture``.
    """
    place = tumor_slices(reference_zyx, reference_zyx.shape)[0]
    under = seen_slice(image_czyx[_underlay(present)], 0, place)
    figure = Figure((6.2, 2.6), layout="constrained", facecolor=BACKGROUND)
    panels = figure.subplots(1, 3)
    for panel, heading, labels in zip(
        panels, ("image", "prediction", "expert"), (None, predicted_zyx, reference_zyx), strict=True
    ):
        panel.imshow(under, cmap="gray", vmin=0, vmax=255)
        if labels is not None:
            panel.imshow(_colored(seen_slice(labels, 0, place), schema))
        panel.set_title(heading, color=TEXT, fontsize=11)
        panel.set_axis_off()
    return save_figure(figure, file)


def _underlay(present: Sequence[bool]) -> int:
    """The channel below the overlay: contrast-enhanced T1, else FLAIR, else the first there is."""
    order = [MODALITIES.index(name) for name in ("t1c", "t2f", "t2w", "t1n")]
    return next(channel for channel in order if present[channel])


def seen_slice(array_zyx: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A slice as it is looked at: anterior or superior on top, the patient's right (or front) at the left.

    RAS indices grow to the right, front and top; pictures are drawn rightwards and downwards, so both are flipped.
    """
    return np.take(array_zyx, index, axis=axis)[::-1, ::-1]


def slice_extent(grid: Grid, axis: int) -> tuple[float, float, float]:
    """Width and height in mm of a slice across ``axis``, and the aspect of its pixels."""
    rows, columns = [a for a in range(3) if a != axis]
    spacing, shape = grid.spacing_mm_zyx, grid.shape_zyx
    return shape[columns] * spacing[columns], shape[rows] * spacing[rows], spacing[rows] / spacing[columns]


def _colored(labels: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """RGBA of a slice of class indices: transparent where there is no label."""
    table = np.zeros((schema.class_count, 4))
    for index, label in enumerate(schema.labels, start=1):
        table[index] = (*(np.array(label.color) / 255), _OPACITY)
    return table[labels]


def _outline(panel: Any, labels: np.ndarray, schema: LabelSchema) -> None:
    for index in range(1, schema.class_count):
        if (labels == index).any():
            panel.contour(labels == index, levels=[0.5], colors=[_OUTLINE], linewidths=0.7)


def letters(panel: Any, left: str, top: str, name: str) -> None:
    edge = [withStroke(linewidth=2, foreground=BACKGROUND)]  # a brain may be as bright as the letters
    style = {"color": TEXT, "transform": panel.transAxes, "fontsize": 9, "path_effects": edge}
    panel.text(0.02, 0.5, left, va="center", **style)
    panel.text(0.5, 0.98, top, ha="center", va="top", **style)
    panel.text(0.02, 0.02, name, alpha=0.8, **style)


def _legend(label_zyx: np.ndarray, reference: np.ndarray | None, schema: LabelSchema, grid: Grid) -> list[Patch]:
    patches = []
    for index, label in enumerate(schema.labels, start=1):
        text = f"{label.name} {(label_zyx == index).sum() * grid.voxel_volume_ml:.1f} ml"
        if reference is not None:
            text += f" (expert {(reference == index).sum() * grid.voxel_volume_ml:.1f})"
        patches.append(Patch(color=rgb(label.color), label=text))
    if reference is not None:
        patches.append(Patch(facecolor="none", edgecolor=_OUTLINE, label="expert's outline"))
    return patches


def rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _curve(panel: Any, curve: Sequence[tuple[int, float]], name: str) -> None:
    steps, values = [step for step, _ in curve], [value for _, value in curve]
    panel.plot(steps, values, label=name, marker="o" if len(steps) < 20 else None, markersize=3)


def save_figure(figure: Figure, file: Path) -> Path:
    """Write a PNG atomically."""
    with written_aside(file) as aside:
        FigureCanvasAgg(figure).print_png(aside)
    return file
