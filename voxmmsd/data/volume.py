"""A volume is an array and the grid it lives on; moving between grids happens in world space only.

Arrays are ``(z, y, x)`` or ``(channel, z, y, x)``. A grid's affine maps ``(x, y, z)`` indices, the array's axes
reversed, to RAS millimeters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

_ZYX_FROM_XYZ = np.eye(4)[[2, 1, 0, 3]]  # the same matrix maps either way


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: ``shape_zyx`` and ``affine_xyz`` (4x4 float64, voxel index (x, y, z) -> RAS mm)."""

    shape_zyx: tuple[int, int, int]
    affine_xyz: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape_zyx", tuple(int(n) for n in self.shape_zyx))
        object.__setattr__(self, "affine_xyz", np.asarray(self.affine_xyz, np.float64).reshape(4, 4))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and self.shape_zyx == other.shape_zyx
            and np.array_equal(self.affine_xyz, other.affine_xyz)
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def affine_zyx(self) -> np.ndarray:
        """4x4, array index (z, y, x) -> RAS mm."""
        return self.affine_xyz @ _ZYX_FROM_XYZ

    @cached_property
    def spacing_mm_zyx(self) -> tuple[float, float, float]:
        lengths = np.sqrt((self.affine_zyx[:3, :3] ** 2).sum(axis=0))
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @cached_property
    def voxel_volume_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine_xyz[:3, :3]))) / 1000.0

    def same_as(self, other: Grid, tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids put every voxel at the same place, within ``tolerance_mm`` at the farthest corner."""
        if self.shape_zyx != other.shape_zyx:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape_zyx], [1])).reshape(4, -1)
        distance = ((self.affine_zyx - other.affine_zyx) @ corners)[:3]
        return bool(np.abs(distance).max() <= tolerance_mm)

    def crop(self, start_zyx: tuple[int, int, int], shape_zyx: tuple[int, int, int]) -> Grid:
        """The grid of ``array[start:start + shape]``."""
        affine = self.affine_xyz.copy()
        affine[:3, 3] += self.affine_zyx[:3, :3] @ np.asarray(start_zyx, np.float64)
        return Grid(shape_zyx, affine)

    def with_spacing(self, spacing_mm: float) -> Grid:
        """The grid of isotropic voxels over the same box: outer faces stay, within half a voxel at the far side."""
        old = np.asarray(self.spacing_mm_zyx)
        factor = spacing_mm / old
        shape = np.maximum(1, np.rint(np.asarray(self.shape_zyx) / factor)).astype(int)
        affine_zyx = self.affine_zyx.copy()
        affine_zyx[:3, :3] = self.affine_zyx[:3, :3] * factor
        # Voxel centers sit half a voxel inside the face, so the first center moves by half the difference.
        affine_zyx[:3, 3] += self.affine_zyx[:3, :3] @ ((factor - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine_zyx @ _ZYX_FROM_XYZ)

    def to_json(self) -> dict[str, object]:
        return {"shape_zyx": list(self.shape_zyx), "affine_xyz": self.affine_xyz.tolist()}

    @classmethod
    def from_json(cls, record: dict) -> Grid:
        grid = cls(tuple(record["shape_zyx"]), np.array(record["affine_xyz"]))
        if not np.isfinite(grid.affine_xyz).all() or min(grid.shape_zyx) < 1:
            raise ValueError(f"a grid of shape {grid.shape_zyx} and with that affine cannot be")
        return grid


@dataclass(frozen=True)
class Volume:
    """An array on its grid: ``array`` is ``(z, y, x)`` or ``(channel, z, y, x)``."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape[-3:] != self.grid.shape_zyx:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.shape_zyx}")


def canonical(volume: Volume) -> Volume:
    """The same voxels in closest-canonical RAS order: axes permuted and flipped, nothing interpolated."""
    grid = volume.grid
    orientation = ornt_transform(io_orientation(grid.affine_xyz), axcodes2ornt("RAS"))
    array = apply_orientation(volume.array.T, orientation).T  # (x, y, z[, channel]), as nibabel has it
    affine = grid.affine_xyz @ inv_ornt_aff(orientation, grid.shape_zyx[::-1])
    return Volume(array, Grid(array.shape[-3:], affine))


def _index_map(source: Grid, target: Grid) -> np.ndarray:
    """4x4: array index (z, y, x) in ``target`` -> array index in ``source``."""
    return np.linalg.solve(source.affine_zyx, target.affine_zyx)


def resampling_is_exact(source: Grid, target: Grid, tolerance_voxels: float = 1e-2) -> bool:
    """Whether the voxels of ``target`` are voxels of ``source`` (axes permuted, flipped, shifted whole).

    Not where they are larger, though their centers may coincide: every third voxel alone is no image of 3 mm.
    """
    matrix = _index_map(source, target)
    whole = np.rint(matrix)
    if (np.abs(whole[:3, :3]).sum(axis=0) != 1).any():
        return False
    reach = np.array([*target.shape_zyx, 1], np.float64)
    return bool((np.abs(matrix - whole)[:3] @ reach).max() <= tolerance_voxels)


def resample(volume: Volume, target: Grid, order: int = 1) -> Volume:
    """Carry a volume to another grid in world space; what lies outside the source is 0.

    ``order`` 0 is nearest neighbor (labels), 1 linear (images, probabilities). Where voxels coincide the values are
    copied, whatever the order. Going to larger voxels, linear images are smoothed first against aliasing.
    The result keeps the array's dtype for exact copies and ``order`` 0, else it is float32.
    """
    matrix = _index_map(volume.grid, target)
    exact = resampling_is_exact(volume.grid, target)
    if exact:
        matrix, order = np.rint(matrix), 0
    dtype = volume.array.dtype if order == 0 else np.dtype(np.float32)
    channels = volume.array.reshape(-1, *volume.grid.shape_zyx)
    out = np.zeros((len(channels), *target.shape_zyx), dtype)
    if exact:
        _copy_exact(channels, out, matrix)
    else:
        shrink = np.asarray(target.spacing_mm_zyx) / np.asarray(volume.grid.spacing_mm_zyx)
        for channel, result in zip(channels, out, strict=True):
            source = channel if order == 0 else _smoothed(channel.astype(np.float32), shrink, matrix)
            ndimage.affine_transform(source, matrix, output_shape=target.shape_zyx, order=order, output=result)
    return Volume(out.reshape(*volume.array.shape[:-3], *target.shape_zyx), target)


def _smoothed(array_zyx: np.ndarray, shrink_zyx: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    # Spacings are per axis of either grid: bring the target's to the source's axes through the index map.
    share = np.abs(matrix[:3, :3]) / np.abs(matrix[:3, :3]).sum(axis=1, keepdims=True)
    sigma = np.maximum(0.0, (share @ shrink_zyx - 1) / 2)
    return ndimage.gaussian_filter(array_zyx, sigma) if (sigma > 0.05).any() else array_zyx


def _copy_exact(channels: np.ndarray, out: np.ndarray, matrix: np.ndarray) -> None:
    """Copy voxels along a signed permutation with whole shifts: out[:, i] = channels[:, matrix @ i]."""
    source_axis = [int(np.flatnonzero(matrix[:3, axis])[0]) for axis in range(3)]
    take: list[slice] = [slice(0)] * 3
    put: list[slice] = [slice(0)] * 3
    flips = []
    for axis, source in enumerate(source_axis):
        sign, shift = int(matrix[source, axis]), int(matrix[source, 3])
        length, size = out.shape[1 + axis], channels.shape[1 + source]
        if sign > 0:
            first, last = max(0, -shift), min(length, size - shift)
        else:
            first, last = max(0, shift - size + 1), min(length, shift + 1)
        if last <= first:
            return
        put[axis] = slice(first, last)
        ends = sorted((sign * first + shift, sign * (last - 1) + shift))
        take[source] = slice(ends[0], ends[1] + 1)
        flips.append(slice(None, None, sign))
    block = np.transpose(channels[(slice(None), *take)], [0, *[1 + a for a in source_axis]])
    out[(slice(None), *put)] = block[(slice(None), *flips)]
