"""An image as decoded from disk, and the checks that every format passes before anyone works with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxmmsd.data.volume import Grid
from voxmmsd.errors import InputError

MAX_VOXELS = 1 << 29  # a head at 0.25 mm; more is a broken header
SPACING_RANGE_MM = (0.01, 50.0)  # slices of the thickest survey are 10 mm apart
GZIP_RATIO = 1032  # deflate's greatest ratio


@dataclass(frozen=True)
class Image:
    """``frames_tzyx``: native byte order, integers as stored or float32. ``notes``: what was doubtful, in words."""

    frames_tzyx: np.ndarray
    grid: Grid
    notes: tuple[str, ...] = ()


def check_shape(shape_xyz: tuple[int, ...], path: Path) -> None:
    """Raise InputError for fewer than three axes that extend, or more voxels than any head has."""
    if len(shape_xyz) < 3 or min(shape_xyz[:3]) < 2:
        raise InputError(
            f"{path}: is of size {_times(shape_xyz)}, not a 3-D volume", "give the whole series as one volume"
        )
    if np.prod(np.array(shape_xyz, np.float64)) > MAX_VOXELS:
        raise InputError(
            f"{path}: its header claims {_times(shape_xyz)} voxels, more than any head has", "copy it again"
        )


def check_claim(claimed_bytes: int, file_bytes: int, compressed: bool, path: Path) -> None:
    """Raise InputError before memory is taken when the file cannot hold what its header claims."""
    if claimed_bytes > file_bytes * (GZIP_RATIO if compressed else 1):
        raise InputError(
            f"{path}: its header claims {claimed_bytes:,} bytes of voxels, but a file of {file_bytes:,} bytes cannot "
            "hold them: truncated or broken",
            "copy it again",
        )


def checked_grid(shape_xyz: tuple[int, ...], affine_xyz: np.ndarray, path: Path) -> Grid:
    """The grid, once its affine is finite, invertible and of believable spacing; else InputError."""
    if not np.isfinite(affine_xyz).all():
        raise InputError(f"{path}: its header's affine holds NaN or infinite values", "rewrite it with a valid header")
    spacing = np.sqrt((affine_xyz[:3, :3] ** 2).sum(axis=0))
    low, high = SPACING_RANGE_MM
    if (spacing < low).any() or (spacing > high).any():
        raise InputError(
            f"{path}: voxel spacing {_times(spacing.round(6).tolist())} mm is implausible ({low:g} to {high:g} mm "
            "expected)",
            "correct its header",
        )
    if abs(np.linalg.det(affine_xyz[:3, :3] / spacing)) < 0.01:
        raise InputError(
            f"{path}: its header's affine is singular (two axes run the same way)", "write it with a valid header"
        )
    return Grid((shape_xyz[2], shape_xyz[1], shape_xyz[0]), affine_xyz)


def checked_values(array: np.ndarray, path: Path) -> np.ndarray:
    """Native integers as they are, floats as float32; InputError for NaN, infinite, complex or colored voxels."""
    if array.dtype.kind in "iub":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind != "f":
        raise InputError(f"{path}: holds {array.dtype} voxels (complex or colored)", "give a volume of plain numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        single = array.astype(np.float32, copy=False)
        whole = np.isfinite(single.min() - single.max())  # min and max carry a NaN along
    if not whole:
        _refuse_non_finite(single, path)
    return single


def _refuse_non_finite(array: np.ndarray, path: Path) -> None:
    count = int((~np.isfinite(array)).sum())
    if count:
        raise InputError(
            f"{path}: holds {count:,} NaN or infinite voxels", "replace them (0 outside the brain) and try again"
        )


def _times(numbers: tuple[int, ...] | list[float]) -> str:
    return " x ".join(f"{n:g}" if isinstance(n, float) else str(n) for n in numbers)
