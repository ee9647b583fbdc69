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

_REACH = 4.0  # standard deviations: half the width of the Gaussian, as SciPy has it
_ALIGNED = 1e-6  # voxels: how far an axis may deviate over the whole grid
_TO_FACE = 0.5 + _ALIGNED  # voxels from the center to the face, which counts as inside


@dataclass(frozen=True)
class Volume:
    """An array on its grid: ``array`` is ``(z, y, x)`` or ``(channel, z, y, x)``."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape[-3:] != self.grid.shape_zyx:
            raise ValueError(f"array {self.array.shape} does not match grid {self.grid.shape_zyx}")


def bounding_box(mask_zyx: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice] | None:
    """The box of what is set, grown by ``margin`` voxels within the array; None if nothing is."""
    inside = mask_zyx != 0
    lines = inside.any(axis=2)
    found = [np.flatnonzero(along) for along in (lines.any(axis=1), lines.any(axis=0), inside.any(axis=(0, 1)))]
    if not found[0].size:
        return None
    z, y, x = (
        slice(max(0, int(places[0]) - margin), min(n, int(places[-1]) + 1 + margin))
        for places, n in zip(found, mask_zyx.shape, strict=True)
    )
    return z, y, x


def mean_index(mask_zyx: np.ndarray) -> np.ndarray:
    """``np.argwhere(mask).mean(axis=0)``, from counts."""
    planes = np.count_nonzero(mask_zyx, axis=2)
    counts = (planes.sum(axis=1), planes.sum(axis=0), np.count_nonzero(mask_zyx, axis=(0, 1)))
    return np.array([np.arange(len(each)) @ each / each.sum() for each in counts])


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


def box_on(target: Grid, box: tuple[slice, slice, slice], source: Grid) -> tuple[slice, slice, slice] | None:
    """The box of ``target`` outside which no voxel depends on the voxels in ``box`` of ``source``; None if it is empty.

    Linear interpolation with its smoothing against aliasing is meant.
    """
    matrix = _index_map(source, target)
    sigma = _smoothing(source, target, matrix)
    margin = int(_REACH * sigma.max() + 0.5) + 1
    back = np.linalg.inv(matrix)
    start = back @ [*(side.start - margin for side in box), 1]
    back[:3, 3] = start[:3]
    z, y, x = _box_between(back, tuple(side.stop - side.start + 2 * margin for side in box), target.shape_zyx, 1)
    return (z, y, x) if all(side.stop > side.start for side in (z, y, x)) else None


def resample(volume: Volume, target: Grid, order: int = 1) -> Volume:
    """Resample a volume to another grid in world space; voxels outside the source are 0.

    The source ends at the faces of its outermost voxels, whose values hold from their centers to there: half of the
    first slice lies beyond its center.
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
        sigma = _smoothing(volume.grid, target, matrix) if order else np.zeros(3)
        for channel, result in zip(channels, out, strict=True):
            _interpolate(channel, matrix, sigma, order, result)
    return Volume(out.reshape(*volume.array.shape[:-3], *target.shape_zyx), target)


def downsample(volume: Volume, target: Grid) -> Volume:
    """As ``resample`` of one image to larger voxels, float32, to six digits, in a quarter of the time.

    Smoothing and interpolation along an axis are one matrix, and the array is multiplied by three of them. Grids whose
    axes do not run along each other are left to ``resample``.
    """
    matrix = _index_map(volume.grid, target)
    source_axes = _source_axes(matrix, target.shape_zyx)
    if source_axes is None or resampling_is_exact(volume.grid, target):
        return Volume(resample(volume, target).array.astype(np.float32, copy=False), target)
    out = np.zeros(target.shape_zyx, np.float32)
    inside = bounding_box(volume.array)
    if inside is None:
        return Volume(out, target)
    sigma = _smoothing(volume.grid, target, matrix)
    array = np.ascontiguousarray(volume.array[inside].transpose(source_axes), np.float32)
    place, weights = [], []
    for axis, source_axis in enumerate(source_axes):
        at = matrix[source_axis, 3] + matrix[source_axis, axis] * np.arange(target.shape_zyx[axis])
        of_axis = _weights(at, volume.array.shape[source_axis], sigma[source_axis])[:, inside[source_axis]]
        reached = np.flatnonzero(of_axis.any(axis=1))
        if not reached.size:
            return Volume(out, target)
        place.append(slice(int(reached[0]), int(reached[-1]) + 1))
        weights.append(of_axis[place[-1]].astype(np.float32))
    planes = (weights[0] @ array.reshape(len(array), -1)).reshape(-1, *array.shape[1:])
    out[tuple(place)] = (weights[1] @ planes) @ weights[2].T
    return Volume(out, target)


def _weights(at: np.ndarray, length: int, sigma: float) -> np.ndarray:
    """``(places, length)``: what a line of ``length`` voxels is multiplied by, to be smoothed and interpolated ``at``
    places along it; 0 for places beyond its faces."""
    line = np.eye(length)
    if sigma:
        line = ndimage.gaussian_filter1d(line, sigma, axis=0, truncate=_REACH)
    held = np.clip(at, 0, length - 1)
    first = np.minimum(held.astype(int), max(0, length - 2))
    share = (held - first)[:, None]
    between = (1 - share) * line[first] + share * line[np.minimum(first + 1, length - 1)]
    return between * ((at >= -_TO_FACE) & (at <= length - 1 + _TO_FACE))[:, None]


def _interpolate(source_zyx: np.ndarray, matrix: np.ndarray, sigma: np.ndarray, order: int, out: np.ndarray) -> None:
    """Write into ``out``, which is all 0, what lies at ``matrix @ index``: only of the box that is not 0."""
    margin = int(_REACH * sigma.max() + 0.5) + 1
    near = _box_between(matrix, out.shape, source_zyx.shape, margin)
    source_axes = _source_axes(matrix, out.shape)
    if order == 0 and source_axes is not None:  # looking for the box takes longer than this
        _interpolate_along_axes(source_zyx[near], near, source_axes, matrix, order, out)
        return
    inside = bounding_box(source_zyx[near], margin)
    if inside is None:
        return
    box = tuple(slice(n.start + i.start, n.start + i.stop) for n, i in zip(near, inside, strict=True))
    source = source_zyx[box]
    if order:
        source = source.astype(np.float32)
        source = ndimage.gaussian_filter(source, sigma, truncate=_REACH) if sigma.any() else source
    if source_axes is not None:
        _interpolate_along_axes(source, box, source_axes, matrix, order, out)
        return
    shifted = matrix.copy()
    shifted[:3, 3] -= [side.start for side in box]
    _interpolate_obliquely(source, shifted, order, out)


def _interpolate_obliquely(source: np.ndarray, matrix: np.ndarray, order: int, out: np.ndarray) -> None:
    """SciPy's interpolation, which takes everything beyond the outermost centers for 0, continued to the faces."""
    rims = [axis for axis in range(3) if source.take([0, -1], axis).any()]
    if not rims:
        ndimage.affine_transform(source, matrix, output_shape=out.shape, order=order, output=out)
        return
    padded = matrix.copy()
    padded[:3, 3] += 1
    source_padded = np.pad(source, 1, mode="edge" if order else "constant")  # the nearest voxel ends at its face
    ndimage.affine_transform(source_padded, padded, output_shape=out.shape, order=order, output=out)
    for axis in rims if order else []:
        z, y, x = (matrix[axis, side] * np.arange(n) for side, n in enumerate(out.shape))
        in_plane, last = y[:, None] + x, source.shape[axis] - 1
        for plane, at in zip(out, z + matrix[axis, 3], strict=True):
            plane[(in_plane < -_TO_FACE - at) | (in_plane > last + _TO_FACE - at)] = 0


def _box_between(
    matrix: np.ndarray, shape_zyx: tuple[int, ...], other_zyx: tuple[int, ...], margin: int
) -> tuple[slice, ...]:
    """The box of an array of ``other_zyx`` that holds what ``matrix`` makes of all indices of ``shape_zyx``."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape_zyx], [1])).reshape(4, -1)
    places = (matrix @ corners)[:3]
    first = np.floor(places.min(axis=1)).astype(int) - margin
    last = np.ceil(places.max(axis=1)).astype(int) + margin
    return tuple(
        slice(min(max(0, low), n), max(0, min(n, high + 1)))
        for low, high, n in zip(first.tolist(), last.tolist(), other_zyx, strict=True)
    )


def _interpolate_along_axes(
    source: np.ndarray,
    box: tuple[slice, ...],
    source_axes: tuple[int, ...],
    matrix: np.ndarray,
    order: int,
    out: np.ndarray,
) -> None:
    """One axis after the other, which takes an eighth of the time; in float64, so that the result is the same.

    ``source``: what lies in the ``box`` of an array that is 0 around it.
    """
    source, place, between = source.transpose(source_axes), [], []
    for axis, source_axis in enumerate(source_axes):
        side = box[source_axis]
        at = matrix[source_axis, 3] + matrix[source_axis, axis] * np.arange(out.shape[axis])
        reached = np.flatnonzero((at >= side.start - _TO_FACE) & (at <= side.stop - 1 + _TO_FACE))
        if not reached.size:
            return
        place.append(slice(int(reached[0]), int(reached[-1]) + 1))
        between.append(np.clip(at[place[-1]], side.start, side.stop - 1))
    starts = [box[axis].start for axis in source_axes]
    if order == 0:
        nearest = [np.floor(at + 0.5).astype(int) - start for at, start in zip(between, starts, strict=True)]
        steps = [np.unique(np.diff(index)) for index in nearest]
        if all(len(step) == 1 and step[0] > 0 for step in steps):  # regular, and many times as fast
            ends = zip(nearest, steps, strict=True)
            out[tuple(place)] = source[tuple(slice(index[0], index[-1] + 1, step[0]) for index, step in ends)]
            return
        for axis, index in enumerate(nearest):
            source = source.take(index, axis)
        out[tuple(place)] = source
        return
    places = [at - start for at, start in zip(between, starts, strict=True)]
    _interpolate_plane_by_plane(source, places, out[tuple(place)])


def _interpolate_plane_by_plane(source: np.ndarray, places: list[np.ndarray], out: np.ndarray) -> None:
    """Write what lies in ``source`` at ``places`` along its axes (voxels) into ``out``: planes stay in the cache."""
    (z, of_z), (y, of_y), (x, of_x) = ((at.astype(int), at - np.floor(at)) for at in places)
    z_next, y_next, x_next = (np.minimum(at + 1, n - 1) for at, n in zip((z, y, x), source.shape, strict=True))
    of_y = of_y[:, None]
    planes, rows, columns = (
        [np.empty(shape) for _ in range(2)] for shape in (source.shape[1:], (len(y), source.shape[2]), out.shape[1:])
    )

    def blended(two: list[np.ndarray], share: np.ndarray) -> np.ndarray:
        two[0] *= 1 - share
        two[1] *= share
        return np.add(two[0], two[1], out=two[0])

    for number, share in enumerate(of_z):
        planes[0][...], planes[1][...] = source[z[number]], source[z_next[number]]
        plane = blended(planes, share)
        plane.take(y, 0, out=rows[0], mode="clip")
        plane.take(y_next, 0, out=rows[1], mode="clip")
        lines = blended(rows, of_y)
        lines.take(x, 1, out=columns[0], mode="clip")
        lines.take(x_next, 1, out=columns[1], mode="clip")
        out[number] = blended(columns, of_x)


def _source_axes(matrix: np.ndarray, target_zyx: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axis of the source along which each axis of the target runs; None if one runs obliquely."""
    axes = [int(axis) for axis in np.abs(matrix[:3, :3]).argmax(axis=0)]
    oblique = np.abs(matrix[:3, :3])
    oblique[axes, range(3)] = 0
    is_aligned = sorted(axes) == [0, 1, 2] and (oblique @ target_zyx).max() < _ALIGNED
    return (axes[0], axes[1], axes[2]) if is_aligned else None


def _smoothing(source: Grid, target: Grid, matrix: np.ndarray) -> np.ndarray:
    """Standard deviations (voxels of the source) of the Gaussian against aliasing; 0 if it changes hardly anything.

    Each axis of the source is smoothed for the target's spacing along it: the mean over the target's axes, weighted by
    the squared cosines of the angles between them and it.
    """
    source_mm, target_mm = np.asarray(source.spacing_mm_zyx), np.asarray(target.spacing_mm_zyx)
    share = (matrix[:3, :3] * source_mm[:, None] / target_mm) ** 2
    share /= share.sum(axis=1, keepdims=True)
    sigma = np.maximum(0.0, (share @ target_mm / source_mm - 1) / 2)
    return sigma if (sigma > 0.05).any() else np.zeros(3)


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
