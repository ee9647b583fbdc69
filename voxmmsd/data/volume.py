"""A volume is an array with its grid; resampling between grids uses world coordinates only.

Arrays are ``(z, y, x)`` or ``(channel, z, y, x)``. A grid's affine maps ``(x, y, z)`` indices, the array's axes
reversed, to RAS millimeters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from voxmmsd.data.grid import Grid


@dataclass(frozen=True)
class Volume:
    """An array on its grid: ``array`` is ``(z, y, x)`` or ``(channel, z, y, x)``."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape[-3:] != self.grid.shape_zyx:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.shape_zyx}")


def bounding_box(mask_zyx: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice] | None:
    """The box of what is set, grown by ``margin`` voxels within the array; None if nothing is."""
    found = ndimage.find_objects((mask_zyx != 0).astype(np.uint8))
    if not found:
        return None
    z, y, x = (
        slice(max(0, side.start - margin), min(n, side.stop + margin))
        for side, n in zip(found[0], mask_zyx.shape, strict=True)
    )
    return z, y, x


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

    False if they are larger, even if their centers coincide: every third voxel of an image is not a 3 mm image.
    """
    matrix = _index_map(source, target)
    whole = np.rint(matrix)
    if (np.abs(whole[:3, :3]).sum(axis=0) != 1).any():
        return False
    reach = np.array([*target.shape_zyx, 1], np.float64)
    return bool((np.abs(matrix - whole)[:3] @ reach).max() <= tolerance_voxels)


def resample(volume: Volume, target: Grid, order: int = 1) -> Volume:
    """Resample a volume to another grid in world space; voxels outside the source are 0.

    ``order`` 0 is nearest neighbor (labels), 1 linear (images, probabilities). If voxels coincide, values are copied,
    whatever the order. For larger voxels, linear interpolation is preceded by smoothing against aliasing.
    The result keeps the dtype for exact copies and ``order`` 0; otherwise it is float32.
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
