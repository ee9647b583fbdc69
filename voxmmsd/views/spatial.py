"""Patches cut along a drawn flip, rotation and scaling: the parameters are drawn first, the cut is pure after.

The cut reads only the patch's surroundings from the (memory-mapped) case, so it costs the same for any case size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class SpatialRanges:
    """Probabilities and ranges of fine-tuning."""

    flip_p: float = 0.5
    rotate_p: float = 0.3
    rotate_degrees: float = 20.0
    scale_p: float = 0.3
    scale: tuple[float, float] = (0.8, 1.25)


@dataclass(frozen=True)
class PatchPlace:
    """Where a patch lies: voxel ``center_zyx`` and the 3x3 matrix from patch offsets to case offsets (z, y, x)."""

    center_zyx: np.ndarray
    matrix_zyx: np.ndarray

    @property
    def is_plain(self) -> bool:
        """Axes only flipped: the patch can be copied."""
        return bool((np.abs(self.matrix_zyx) == np.eye(3)).all())


def draw_matrix(ranges: SpatialRanges, rng: np.random.Generator) -> np.ndarray:
    """3x3: flips per axis, then perhaps a rotation about a random axis, then perhaps one scale for all axes."""
    matrix = np.diag(np.where(rng.random(3) < ranges.flip_p, -1.0, 1.0))
    rotates, scales = rng.random(2) < (ranges.rotate_p, ranges.scale_p)
    axis, angle = rng.normal(size=3), rng.uniform(-1, 1) * np.deg2rad(ranges.rotate_degrees)
    scale = np.exp(rng.uniform(*np.log(ranges.scale)))
    if rotates:
        matrix = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix() @ matrix
    return matrix * scale if scales else matrix


def cut_patch(
    image_czyx: np.ndarray, label_zyx: np.ndarray, place: PatchPlace, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """``(4, size, size, size)`` float32 in the units of the case and ``(size, size, size)`` uint8; 0 outside the case.

    Images are interpolated linearly and labels by nearest neighbor, unless the matrix only flips: then both are copied.
    """
    reach = np.abs(place.matrix_zyx).sum(axis=1) * (size - 1) / 2
    low = np.floor(place.center_zyx - reach + 1e-6).astype(int)
    high = np.ceil(place.center_zyx + reach - 1e-6).astype(int) + 1
    if place.is_plain:
        high = low + size
    image, label = cut_window(image_czyx, low, high), cut_window(label_zyx, low, high)
    if place.is_plain:
        flips = tuple(slice(None, None, int(sign)) for sign in np.diag(place.matrix_zyx))
        return image[(slice(None), *flips)].astype(np.float32), np.ascontiguousarray(label[flips])
    grid = _sampling_grid(place, low, high, size)
    moved = F.grid_sample(torch.from_numpy(image[None].astype(np.float32)), grid, align_corners=True)
    nearest = F.grid_sample(torch.from_numpy(label[None, None].astype(np.float32)), grid, "nearest", align_corners=True)
    return moved[0].numpy(), nearest[0, 0].numpy().astype(np.uint8)


def _sampling_grid(place: PatchPlace, low: np.ndarray, high: np.ndarray, size: int) -> torch.Tensor:
    """grid_sample's coordinates: -1 and 1 are the centers of the window's first and last voxel, axes x, y, z."""
    half = np.maximum((high - low - 1) / 2, 0.5)
    middle = low + (high - low - 1) / 2
    matrix = place.matrix_zyx * ((size - 1) / 2) / half[:, None]
    shift = (place.center_zyx - middle) / half
    theta = np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1)
    return F.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, size, size, size], align_corners=True)


def cut_window(array: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """``array[..., low:high]`` as a new array, 0 where that lies outside."""
    shape = np.array(array.shape[-3:])
    out = np.zeros((*array.shape[:-3], *(high - low)), array.dtype)
    start, stop = np.clip(low, 0, shape), np.clip(high, 0, shape)
    if (stop > start).all():
        take = [slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)]
        put = [slice(int(a), int(b)) for a, b in zip(start - low, stop - low, strict=True)]
        out[..., put[0], put[1], put[2]] = array[..., take[0], take[1], take[2]]
    return out
