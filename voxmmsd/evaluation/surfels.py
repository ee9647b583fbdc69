"""Distances between the surfaces of two masks, each piece of surface counted by its area, as BraTS scores them.

The surface runs between the voxels' centers: around each corner of the voxel grid lie eight voxels, and which of them
are in the mask decides the piece of surface there (a "surfel", Nikolov et al. 2018, arXiv:1809.04430). MONAI's HD95
counts voxels instead and gives other numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

Spacing = tuple[float, float, float]
_CORNERS = tuple(product((0, 1), repeat=3))
_BITS = {corner: 1 << number for number, corner in enumerate(_CORNERS)}


@dataclass(frozen=True)
class Surface:
    """Where a mask's surfels lie, ``(n, 3)`` mm, their areas, mm^2, and where its border voxels lie, ``(m, 3)`` mm."""

    surfels_mm: np.ndarray
    areas_mm2: np.ndarray
    border_mm: np.ndarray


def surface_of(mask_zyx: np.ndarray, spacing_mm_zyx: Spacing) -> Surface:
    """Of a bool mask, which beyond its array has no voxel. A border voxel has a 6-neighbor outside the mask."""
    padded = np.pad(mask_zyx, 1).view(np.uint8)
    codes = np.zeros([n + 1 for n in mask_zyx.shape], np.uint8)
    for corner, bit in _BITS.items():
        codes += bit * padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))]
    places = np.nonzero((codes > 0) & (codes < 255))
    border = np.nonzero(mask_zyx & ~ndimage.binary_erosion(mask_zyx))
    spacing = np.array(spacing_mm_zyx)
    areas = _areas(spacing_mm_zyx)[codes[places]]
    return Surface(np.transpose(places) * spacing, areas, np.transpose(border) * spacing)


def hd95_of(first: Surface, second: Surface) -> float:
    """The larger of the two 95th percentiles, by area, of the distances from one surface to the other, in mm.

    Infinite where either mask is empty.
    """
    if not (len(first.surfels_mm) and len(second.surfels_mm)):
        return float("inf")
    there = _percentile(_distances(first.surfels_mm, second.surfels_mm), first.areas_mm2)
    back = _percentile(_distances(second.surfels_mm, first.surfels_mm), second.areas_mm2)
    return max(there, back)


def surface_dice_of(first: Surface, second: Surface, tolerances_mm: tuple[float, ...]) -> tuple[float, ...]:
    """The mean of the two shares of border voxels that lie within each tolerance of the other border.

    So computed by nnU-Net and by BraTS 2024, without areas; 0 where either mask is empty.
    """
    if not (len(first.border_mm) and len(second.border_mm)):
        return tuple(0.0 for _ in tolerances_mm)
    there, back = _distances(first.border_mm, second.border_mm), _distances(second.border_mm, first.border_mm)
    return tuple(float(((there <= t).mean() + (back <= t).mean()) / 2) for t in tolerances_mm)


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return KDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0]


def _percentile(distances: np.ndarray, areas: np.ndarray, share: float = 0.95) -> float:
    """The first distance at which the area of all that is no farther reaches ``share`` of the whole."""
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(areas[order]) / areas.sum()
    return float(distances[order][min(int(np.searchsorted(reached, share)), len(order) - 1)])


@lru_cache
def _areas(spacing_mm: Spacing) -> np.ndarray:
    """``(256,)`` mm^2: the area of surface around a grid corner by which of its eight voxels are in the mask.

    Marching cubes, with what is ambiguous decided so that the numbers are those of the authors' table: where voxels
    meet at an edge only, the rarer side is cut apart, and a bent polygon is split into the fan of largest area.
    """
    areas = np.zeros(256)
    for code in range(1, 255):
        rarer = code if code.bit_count() <= 4 else 255 - code
        for loop in _loops(rarer):
            fans = [_fan(np.roll(loop, -first, axis=0)) for first in range(len(loop))]
            best = max(fans, key=lambda fan: round(_area(fan), 9))
            areas[code] += _area(best * np.array(spacing_mm))
    return areas


def _fan(loop: np.ndarray) -> np.ndarray:
    """``(triangles, 3, 3)``: a polygon split from its first point."""
    return np.array([(loop[0], loop[i], loop[i + 1]) for i in range(1, len(loop) - 1)])


def _area(triangles: np.ndarray) -> float:
    sides = triangles[:, 1:] - triangles[:, :1]
    return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2)


def _loops(code: int) -> Iterator[np.ndarray]:
    """The closed polygons, through the middles of a cube's edges, that part the corners in ``code`` from the others."""
    neighbors: dict[tuple[float, ...], list[tuple[float, ...]]] = {}
    for one, other in _segments(code):
        neighbors.setdefault(one, []).append(other)
        neighbors.setdefault(other, []).append(one)
    while neighbors:
        here = next(iter(neighbors))
        loop = []
        while here in neighbors:
            loop.append(here)
            ahead = neighbors.pop(here)
            here = next((point for point in ahead if point in neighbors), here)
        yield np.array(loop)


def _segments(code: int) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    """On each face of the cube, the lines that part its corners in ``code`` from the others, each of those apart."""
    for axis, side in product(range(3), (0, 1)):
        ring = []
        for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            corner = [u, v]
            corner.insert(axis, side)
            ring.append(tuple(corner))
        inside = [bool(code & _BITS[corner]) for corner in ring]
        middles = [tuple(np.add(ring[i], ring[(i + 1) % 4]) / 2) for i in range(4)]
        crossed = [i for i in range(4) if inside[i] != inside[(i + 1) % 4]]
        if len(crossed) == 2:
            yield middles[crossed[0]], middles[crossed[1]]
        elif len(crossed) == 4:
            yield from ((middles[i - 1], middles[i]) for i in range(4) if inside[i])
