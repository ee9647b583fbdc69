"""Lesions of a label map, and which lesion of one visit is which of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from voxmmsd.data.volume import Grid
from voxmmsd.labels import LabelSchema
from voxmmsd.measuring.diameters import Diameters, measured

MIN_ML = 0.1  # smaller components are counted together, not as lesions
MIN_OVERLAP = 0.1  # of the smaller of two lesions that are taken for one
NEAR_MM = 5.0  # lesions whose surfaces are this far apart at most are one, if neither has another counterpart
_NEIGHBORS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Lesion:
    """``voxels_zyx``: ``(n, 3)`` array indices of its voxels on its own visit's grid."""

    voxels_zyx: np.ndarray
    volume_ml: float
    center_ras_mm: tuple[float, float, float]
    diameters: Diameters

    @property
    def is_measurable(self) -> bool:
        return self.diameters.is_measurable


@dataclass(frozen=True)
class Lesions:
    """Largest first. ``small`` and ``small_ml``: number and volume of the components below ``MIN_ML``."""

    lesions: tuple[Lesion, ...]
    small: int
    small_ml: float
    grid: Grid

    @property
    def volume_ml(self) -> float:
        return sum(lesion.volume_ml for lesion in self.lesions) + self.small_ml


def find_lesions(label_zyx: np.ndarray, schema: LabelSchema, grid: Grid, structure: str) -> Lesions:
    """The lesions of a structure, ``ET`` or ``WT``, of class indices ``(z, y, x)``.

    Voxels that touch by a face, an edge or a corner are of one lesion. Enhancing tumor is also of one lesion where the
    tumor core connects it: the pieces of a rim around a necrosis are not lesions of their own.

    Raises:
        KeyError: the schema has no such structure.
    """
    inside = np.isin(label_zyx, indices_of(schema, structure))
    joined = inside
    if structure == "ET" and any(region.key == "TC" for region in schema.regions):
        joined = inside | np.isin(label_zyx, indices_of(schema, "TC"))
    numbers, count = ndimage.label(joined, _NEIGHBORS)
    numbers[~inside] = 0
    found, small, small_ml = [], 0, 0.0
    for number, box in enumerate(ndimage.find_objects(numbers, count), start=1):
        if box is None:
            continue
        mask = numbers[box] == number
        volume = float(mask.sum()) * grid.voxel_volume_ml
        if volume < MIN_ML:
            small, small_ml = small + 1, small_ml + volume
            continue
        start = np.array([side.start for side in box])
        part = grid.crop(tuple(start), mask.shape)
        diameters = measured(mask, part)
        assert diameters is not None
        voxels = np.argwhere(mask) + start
        center = grid.affine_zyx[:3, :3] @ voxels.mean(axis=0) + grid.affine_zyx[:3, 3]
        index = diameters.index + int(start[diameters.axis])
        placed = Diameters(diameters.axis, index, diameters.longest, diameters.perpendicular, diameters.is_measurable)
        found.append(Lesion(voxels, volume, tuple(float(x) for x in center), placed))  # type: ignore[arg-type]
    found.sort(key=lambda lesion: (-lesion.volume_ml, lesion.center_ras_mm))
    return Lesions(tuple(found), small, small_ml, grid)


def indices_of(schema: LabelSchema, key: str) -> tuple[int, ...]:
    """Class indices of a region or label. Raises KeyError if the schema has neither."""
    for region in schema.regions:
        if region.key == key:
            return schema.region_indices(region)
    return (schema.values.index(schema.label(key).value) + 1,)


def has_structure(schema: LabelSchema, key: str) -> bool:
    return any(region.key == key for region in schema.regions) or any(label.key == key for label in schema.labels)


def matches(
    earlier: Sequence[Lesion], earlier_grid: Grid, later: Sequence[Lesion], later_grid: Grid
) -> list[tuple[int, int]]:
    """Pairs of indices of an earlier and a later lesion that are one; a lesion may be in several pairs or in none.

    Both grids map to one world: that of a visit that was registered has the correction in it. Two lesions are one if
    they share ``MIN_OVERLAP`` of the smaller one. A lesion without a counterpart is one with another such lesion
    within ``NEAR_MM``, the nearest first.
    """
    pairs = [
        (a, b)
        for a, first in enumerate(earlier)
        for b, second in enumerate(later)
        if _shared(first, earlier_grid, second, later_grid) >= MIN_OVERLAP
    ]
    for _, a, b in sorted(
        (_gap_mm(first, earlier_grid, second, later_grid), a, b)
        for a, first in enumerate(earlier)
        for b, second in enumerate(later)
        if all(a != one for one, _ in pairs) and all(b != other for _, other in pairs)
    ):
        free = all(a != one for one, _ in pairs) and all(b != other for _, other in pairs)
        if free and _gap_mm(earlier[a], earlier_grid, later[b], later_grid) <= NEAR_MM:
            pairs.append((a, b))
    return sorted(pairs)


def _world(lesion: Lesion, grid: Grid) -> np.ndarray:
    return lesion.voxels_zyx @ grid.affine_zyx[:3, :3].T + grid.affine_zyx[:3, 3]


def _shared(first: Lesion, first_grid: Grid, second: Lesion, second_grid: Grid) -> float:
    """Share of the smaller lesion that lies in the other; seen from both grids, the greater one."""
    least = min(first.volume_ml, second.volume_ml)
    from_second = _inside(second, second_grid, first, first_grid) * second_grid.voxel_volume_ml
    from_first = _inside(first, first_grid, second, second_grid) * first_grid.voxel_volume_ml
    return max(from_first, from_second) / least


def _inside(lesion: Lesion, grid: Grid, other: Lesion, other_grid: Grid) -> int:
    """Number of voxels of ``lesion`` whose center lies in a voxel of ``other``."""
    to_other = np.linalg.solve(other_grid.affine_zyx, grid.affine_zyx)
    places = np.rint(lesion.voxels_zyx @ to_other[:3, :3].T + to_other[:3, 3]).astype(np.int64)
    low, high = other.voxels_zyx.min(axis=0), other.voxels_zyx.max(axis=0)
    places = places[((places >= low) & (places <= high)).all(axis=1)] - low
    box = np.zeros(high - low + 1, bool)
    box[tuple((other.voxels_zyx - low).T)] = True
    return int(box[tuple(places.T)].sum())


def _gap_mm(first: Lesion, first_grid: Grid, second: Lesion, second_grid: Grid) -> float:
    """Least distance of the surfaces of voxels, 0 where they touch and less where they overlap.

    That of the centers would be 6 mm for slices of 6 mm that lie side by side.
    """
    centers, others = _world(first, first_grid), _world(second, second_grid)
    distances, nearest = cKDTree(centers).query(others)
    lines = others - centers[nearest]
    return float((distances - _to_surface_mm(lines, first_grid) - _to_surface_mm(lines, second_grid)).min())


def _to_surface_mm(lines: np.ndarray, grid: Grid) -> np.ndarray:
    """How far the surface of a voxel is from its center along ``lines`` ``(n, 3)``, in RAS mm."""
    in_voxels = np.abs(lines @ np.linalg.inv(grid.affine_zyx[:3, :3]).T).max(axis=1)
    return np.linalg.norm(lines, axis=1) / (2 * np.maximum(in_voxels, 1e-9))
