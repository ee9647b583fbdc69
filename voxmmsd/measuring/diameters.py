"""Bidimensional diameters of a lesion in axial slices, as RANO measures them (Wen et al., J Clin Oncol 41:5187, 2023).

Definition. In one slice, the longest distance between two points of the lesion, and the longest line perpendicular to
it whose ends lie in the lesion. Both lines may cross what does not belong to the lesion, such as the necrosis within an
enhancing rim, and they need not cross each other. A voxel is the area that it covers, not its center: a square of ten
voxels of 1 mm has sides of 10 mm. Both lengths are exact for that shape: the first is between corners of its convex
hull, the second is piecewise linear along the first and longest at a corner.

A slice is a plane of the image whose normal is closest to the body's axis; of a tilted image it is tilted as well, as
on a viewer. Lengths are in mm by the grid's affine, whatever the voxels' shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from voxmmsd.data.volume import Grid, bounding_box

MIN_MM = 10.0  # of both diameters of a measurable lesion
THICK_MM = 5.0  # slices thicker than this: a measurable lesion is twice as wide as they are thick
MIN_SLICES = 2  # that show a measurable lesion
_TOLERANCE_MM = 1e-6
_CORNERS = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])
_EDGES = ((0, 1), (1, 3), (3, 2), (2, 0))


@dataclass(frozen=True)
class Line:
    """A line from ``start`` to ``end``, RAS mm."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    @property
    def length_mm(self) -> float:
        return float(np.linalg.norm(np.subtract(self.end, self.start)))

    def record(self) -> dict[str, Any]:
        return {"start_ras_mm": [round(x, 3) for x in self.start], "end_ras_mm": [round(x, 3) for x in self.end]}


@dataclass(frozen=True)
class Diameters:
    """Of one lesion: the longest diameter and the longest perpendicular in slice ``index`` of array axis ``axis``.

    ``is_measurable``: both have ``MIN_MM`` (twice the slice thickness, where that is above ``THICK_MM``), and the
    lesion is seen in ``MIN_SLICES`` slices.
    """

    axis: int
    index: int
    longest: Line
    perpendicular: Line
    is_measurable: bool

    @property
    def product_mm2(self) -> float:
        return self.longest.length_mm * self.perpendicular.length_mm

    def text(self) -> str:
        """``31.4 x 22.0 mm``."""
        return f"{self.longest.length_mm:.1f} x {self.perpendicular.length_mm:.1f} mm"

    def record(self) -> dict[str, Any]:
        return {
            "longest_mm": round(self.longest.length_mm, 2),
            "perpendicular_mm": round(self.perpendicular.length_mm, 2),
            "product_mm2": round(self.product_mm2, 1),
            "measurable": self.is_measurable,
            "longest": self.longest.record(),
            "perpendicular": self.perpendicular.record(),
        }


def axial_axis(grid: Grid) -> int:
    """The array axis across axial slices: the one closest to the body's axis."""
    return closest_axis(grid, 2)


def closest_axis(grid: Grid, direction: int) -> int:
    """The array axis closest to R (0), A (1) or S (2); the three are always different ones."""
    cosines = np.abs(grid.affine_zyx[:3, :3] / np.asarray(grid.spacing_mm_zyx))
    left = [0, 1, 2]
    chosen = {}
    for _ in range(3):  # the clearest first
        world, axis = max(
            ((w, a) for w in range(3) if w not in chosen for a in left), key=lambda pair: (cosines[pair], pair)
        )
        chosen[world] = axis
        left.remove(axis)
    return chosen[direction]


def measured(mask_zyx: np.ndarray, grid: Grid) -> Diameters | None:
    """The diameters of a lesion, a bool ``(z, y, x)``, in the axial slice where the longest one is longest.

    Of slices in which it is equally long, that with the longest perpendicular. None for an empty mask.
    """
    box = bounding_box(mask_zyx)
    if box is None:
        return None
    axis = axial_axis(grid)
    across, along = grid.affine_zyx[:3, axis], np.delete(grid.affine_zyx[:3, :3], axis, axis=1)
    slices = np.moveaxis(mask_zyx[box], axis, 0)
    offset = np.array([side.start for side in box])
    in_plane, first = np.delete(offset, axis), int(offset[axis])
    basis = _basis(along)
    to_mm = basis.T @ along  # 2x2, in-plane index -> mm in the plane
    shown = [number for number in range(len(slices)) if slices[number].any()]
    longest = {number: _longest(_outline(slices[number], in_plane), to_mm) for number in shown}
    most = max(length for length, *_ in longest.values())
    found = None
    for number, (length, start, end) in longest.items():
        if length >= most - _TOLERANCE_MM:
            width, left, right = _perpendicular(_outline(slices[number], in_plane), to_mm, end - start)
            if found is None or width > found[0] + _TOLERANCE_MM:
                found = (width, number, (start, end), (left, right))
    assert found is not None
    width, number, *lines = found
    base = grid.affine_zyx[:3, 3] + across * (first + number)
    # Points of the plane are mm in the basis; back by way of indices, so that a sheared grid is right as well.
    placed = [[base + along @ np.linalg.solve(to_mm, point) for point in line] for line in lines]
    thickness = _thickness(grid, axis)
    least = 2 * thickness if thickness > THICK_MM else MIN_MM
    measurable = min(most, width) >= least - _TOLERANCE_MM and len(shown) >= MIN_SLICES
    return Diameters(axis, first + number, _line(placed[0]), _line(placed[1]), bool(measurable))


def _line(points: list[np.ndarray]) -> Line:
    start, end = (tuple(float(value) for value in point) for point in points)
    return Line(start, end)  # type: ignore[arg-type]


def _basis(along: np.ndarray) -> np.ndarray:
    """3x2, orthonormal, of the plane of two steps (columns, mm)."""
    first = along[:, 0] / np.linalg.norm(along[:, 0])
    second = along[:, 1] - first * (first @ along[:, 1])
    return np.stack([first, second / np.linalg.norm(second)], axis=1)


def _thickness(grid: Grid, axis: int) -> float:
    """Distance of slices in mm, along their normal."""
    a, b = (grid.affine_zyx[:3, other] for other in range(3) if other != axis)
    normal = np.cross(a, b)
    return float(abs(grid.affine_zyx[:3, axis] @ normal) / np.linalg.norm(normal))


def _outline(mask: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Indices ``(n, 2)`` of the voxels at the border of a 2-D mask; those within have neither a hull's corner nor the
    end of a longest line."""
    inner = ndimage.binary_erosion(mask, np.ones((3, 3), bool))
    return np.argwhere(mask & ~inner) + offset


def _longest(voxels: np.ndarray, to_mm: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Length and ends, in mm, of the longest line between corners of voxels."""
    corners = _corners(voxels) @ to_mm.T
    corners = corners[ConvexHull(corners).vertices]
    corners = corners[np.lexsort(corners.T)]  # the same line whatever the order of the hull
    squared = ((corners[:, None] - corners[None]) ** 2).sum(axis=-1)
    # The first of those that are equally long but for rounding.
    start, end = np.argwhere(squared >= squared.max() - _TOLERANCE_MM)[0]
    return float(np.sqrt(squared[start, end])), corners[start], corners[end]


def _perpendicular(voxels: np.ndarray, to_mm: np.ndarray, longest: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Length and ends, in mm, of the longest line perpendicular to ``longest`` with both ends in voxels.

    Between the places along ``longest`` of two neighboring corners, each voxel's upper and lower end are linear, the
    highest of all is convex, the lowest concave: the length is greatest at such a place.
    """
    along = longest / np.linalg.norm(longest)
    across = np.array([-along[1], along[0]])
    corners = (_corners(voxels) @ to_mm.T).reshape(-1, 4, 2)
    s, t = corners @ along, corners @ across
    places = np.unique(np.round(s.ravel(), 9))
    low, high = _ends(s, t, places)
    lengths = high - low
    at = int(np.flatnonzero(lengths >= lengths.max() - _TOLERANCE_MM)[0])  # the first, but for rounding
    start, end = (places[at] * along + value[at] * across for value in (low, high))
    return float(lengths[at]), start, end


def _ends(s: np.ndarray, t: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest end over all voxels of the line at each of ``places``; ``s``, ``t`` ``(n, 4)``: corners."""
    low, high = np.full(len(places), np.inf), np.full(len(places), -np.inf)
    for first, second in _EDGES:
        s0, s1, t0, t1 = (values[None, :] for values in (s[:, first], s[:, second], t[:, first], t[:, second]))
        level = np.abs(s1 - s0) < _TOLERANCE_MM  # an edge along the line counts with both its ends
        share = (places[:, None] - s0) / np.where(level, 1.0, s1 - s0)
        slack = _TOLERANCE_MM / np.where(level, 1.0, np.abs(s1 - s0))  # places are rounded
        at_level = np.abs(places[:, None] - s0) <= _TOLERANCE_MM
        meets = np.where(level, at_level, (share >= -slack) & (share <= 1 + slack))
        at = t0 + np.clip(share, 0, 1) * (t1 - t0)
        for value in (np.where(level, t0, at), np.where(level, t1, at)):
            low = np.minimum(low, np.where(meets, value, np.inf).min(axis=1))
            high = np.maximum(high, np.where(meets, value, -np.inf).max(axis=1))
    return low, high


def _corners(voxels: np.ndarray) -> np.ndarray:
    """``(4 n, 2)``: the corners of voxels, in index coordinates."""
    return (voxels[:, None] + _CORNERS).reshape(-1, 2)
