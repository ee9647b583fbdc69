"""Pictures of a case: three planes with outlines, and each lesion with its diameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from voxmmsd.data.volume import Grid, bounding_box
from voxmmsd.evaluation.pictures import BACKGROUND, TEXT, letters, rgb, save_figure, seen_slice, tumor_slices
from voxmmsd.labels import MODALITY_NAMES, LabelSchema
from voxmmsd.measuring.diameters import Line
from voxmmsd.measuring.lesions import Lesion
from voxmmsd.reporting.shown import ShownCase, modalities_to_show

PLANES = ((0, "axial", "R", "A"), (1, "coronal", "R", "S"), (2, "sagittal", "A", "S"))
MAX_LESIONS = 4  # that are drawn by themselves
LINE_COLORS = ("#ffe14d", "#7fe3ff")  # the longest diameter, and its perpendicular
_MARGIN_MM = 12.0
_MIN_FIELD_MM = 60.0


def measured_lesions(shown: ShownCase) -> tuple[Lesion, ...]:
    """Enhancing lesions with diameters, largest first."""
    return shown.lesions["ET"].lesions if "ET" in shown.lesions else ()


def slices_to_show(shown: ShownCase) -> tuple[int, ...]:
    """Along z, y and x: the slice of the longest diameter of the largest measurable lesion, else those with most tumor.

    So that the picture shows the lines that are measured.
    """
    places = list(tumor_slices(shown.label_zyx, shown.label_zyx.shape))
    measurable = [lesion for lesion in measured_lesions(shown) if lesion.is_measurable]
    if measurable:
        largest = max(measurable, key=lambda lesion: lesion.diameters.product_mm2)
        if largest.diameters.axis == 0:
            places[0] = largest.diameters.index
    return tuple(places)


def planes_picture(shown: ShownCase, file: Path) -> Path:
    """Write a PNG: axial, coronal and sagittal slices of two modalities with the outlines of the tissues."""
    names = modalities_to_show(shown.images)
    widths, heights = fields_mm(shown)
    scale = 10.0 / sum(widths)
    figure = Figure((10.0, len(names) * max(heights) * scale + 0.5), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(len(names), 3, squeeze=False, width_ratios=widths)
    draw_planes(axes, shown, names)
    figure.legend(handles=legend(shown.schema), loc="outside lower center", ncols=5, frameon=False, labelcolor=TEXT,
                  fontsize=9)  # fmt: skip
    return save_figure(figure, file)


def fields_mm(shown: ShownCase) -> tuple[list[float], list[float]]:
    """Width and height in mm of what is drawn of each plane."""
    box = _head_box(shown)
    size = [(side.stop - side.start) * mm for side, mm in zip(box, shown.grid.spacing_mm_zyx, strict=True)]
    return [size[2], size[2], size[1]], [size[1], size[0], size[0]]


def _head_box(shown: ShownCase) -> tuple[slice, slice, slice]:
    """Where the images are clearly brighter than air; the same for all planes."""
    image = shown.images[modalities_to_show(shown.images)[0]]
    inside = image > 0.1 * np.percentile(image, 99) if image.any() else np.ones(image.shape, bool)
    return bounding_box(inside | (shown.label_zyx > 0), 3) or (slice(0, 1), slice(0, 1), slice(0, 1))


def draw_planes(axes: Any, shown: ShownCase, names: Sequence[str], color: str = TEXT, size: float = 9) -> None:
    """Into ``axes`` (modality, plane); the modalities' names stand beside them."""
    box, places = _head_box(shown), slices_to_show(shown)
    for row, name in enumerate(names):
        image = shown.images[name]
        top = gray_top(image)
        for column, (axis, plane, left, up) in enumerate(PLANES):
            panel = axes[row][column]
            draw_slice(panel, image, axis, places[axis], shown.grid, top)
            outline(panel, seen_slice(shown.label_zyx, axis, places[axis]), shown.schema)
            if axis == 0 and name == "t1c":
                for lesion in measured_lesions(shown):
                    if lesion.diameters.axis == 0 and lesion.diameters.index == places[0] and lesion.is_measurable:
                        draw_diameters(panel, lesion, shown.grid)
            _crop(panel, box, axis, shown.grid)
            letters(panel, left, up, f"{plane} {places[axis]}")
            if column == 0:
                panel.text(-0.03, 0.5, MODALITY_NAMES[name], color=color, fontsize=size, ha="right", va="center",
                           rotation=90, transform=panel.transAxes)  # fmt: skip


def gray_top(image: np.ndarray) -> float:
    """The intensity shown as white."""
    inside = image[image > 0]
    return float(np.percentile(inside, 99.7)) if inside.size else 1.0


def draw_slice(panel: Any, image: np.ndarray, axis: int, place: int, grid: Grid, top: float) -> None:
    rows, columns = [a for a in range(3) if a != axis]
    aspect = grid.spacing_mm_zyx[rows] / grid.spacing_mm_zyx[columns]
    panel.imshow(seen_slice(image, axis, place), cmap="gray", vmin=0, vmax=top, aspect=aspect)
    panel.set_axis_off()


def outline(panel: Any, labels: np.ndarray, schema: LabelSchema, width: float = 0.9) -> None:
    """Each tissue's border in its color."""
    for index, label in enumerate(schema.labels, start=1):
        if (labels == index).any():
            panel.contour(labels == index, levels=[0.5], colors=[rgb(label.color)], linewidths=width)


def draw_diameters(panel: Any, lesion: Lesion, grid: Grid) -> None:
    """Both lines, on an axial slice."""
    for line, color in zip((lesion.diameters.longest, lesion.diameters.perpendicular), LINE_COLORS, strict=True):
        xs, ys = zip(*(_on_slice(point, grid) for point in (line.start, line.end)), strict=True)
        panel.plot(xs, ys, color=color, linewidth=1.2, solid_capstyle="butt",
                   path_effects=[withStroke(linewidth=2.2, foreground=BACKGROUND)])  # fmt: skip


def _on_slice(point: tuple[float, float, float], grid: Grid) -> tuple[float, float]:
    """Column and row of a point in an axial slice as ``seen_slice`` turns it."""
    _, y, x = np.linalg.solve(grid.affine_zyx, [*point, 1.0])[:3]
    return grid.shape_zyx[2] - 1 - float(x), grid.shape_zyx[1] - 1 - float(y)


def _crop(panel: Any, box: tuple[slice, ...], axis: int, grid: Grid) -> None:
    rows, columns = [a for a in range(3) if a != axis]
    high, wide = grid.shape_zyx[rows], grid.shape_zyx[columns]
    panel.set_xlim(wide - box[columns].stop - 0.5, wide - box[columns].start - 0.5)
    panel.set_ylim(high - box[rows].start - 0.5, high - box[rows].stop - 0.5)


def lesions_picture(shown: ShownCase, file: Path) -> Path | None:
    """Write a PNG: the slice of each lesion that is measured, closely, with its diameters; None without any."""
    drawn = drawn_lesions(shown)
    if not drawn:
        return None
    figure = Figure((2.5 * len(drawn), 2.9), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    draw_lesions(axes, shown)
    return save_figure(figure, file)


def drawn_lesions(shown: ShownCase) -> list[tuple[int, Lesion]]:
    """The lesions that are drawn by themselves, with their numbers from 1."""
    numbered = list(enumerate(measured_lesions(shown), start=1))
    return [(number, lesion) for number, lesion in numbered if lesion.diameters.axis == 0][:MAX_LESIONS]


def draw_lesions(axes: Sequence[Any], shown: ShownCase, color: str = TEXT, size: float = 9) -> None:
    """Into ``axes``, one each; axes that are left over stay empty."""
    for panel in axes:
        panel.set_axis_off()
    name = modalities_to_show(shown.images)[0]
    top = gray_top(shown.images[name])
    for panel, (number, lesion) in zip(axes, drawn_lesions(shown), strict=False):
        place = lesion.diameters.index
        draw_slice(panel, shown.images[name], 0, place, shown.grid, top)
        outline(panel, seen_slice(shown.label_zyx, 0, place), shown.schema)
        draw_diameters(panel, lesion, shown.grid)
        _close_up(panel, lesion.diameters.longest, shown.grid)
        panel.set_title(f"{number}: {lesion.diameters.text()}", color=color, fontsize=size)


def _close_up(panel: Any, line: Line, grid: Grid) -> None:
    middle = np.add(line.start, line.end) / 2
    x, y = _on_slice((float(middle[0]), float(middle[1]), float(middle[2])), grid)
    half = max(_MIN_FIELD_MM, line.length_mm + 2 * _MARGIN_MM) / 2
    panel.set_xlim(x - half / grid.spacing_mm_zyx[2], x + half / grid.spacing_mm_zyx[2])
    panel.set_ylim(y + half / grid.spacing_mm_zyx[1], y - half / grid.spacing_mm_zyx[1])
    panel.set_facecolor(BACKGROUND)


def legend(schema: LabelSchema) -> list[Line2D]:
    """Outlines of the tissues, and both diameters where there is enhancing tumor."""
    handles = [Line2D([], [], color=rgb(label.color), label=label.name) for label in schema.labels]
    if any(label.key == "ET" for label in schema.labels):
        names = ("longest diameter", "perpendicular")
        handles += [Line2D([], [], color=color, label=name) for name, color in zip(names, LINE_COLORS, strict=True)]
    return handles
