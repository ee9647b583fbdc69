"""Patches with random flip, rotation and scaling: parameters are drawn first, then applied.

Only the surroundings of the patch are read from the (memory-mapped) case, so the cost does not depend on its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from torch import Tensor

ArrayT = TypeVar("ArrayT", bound=np.ndarray | Tensor)


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
    """Position of a patch: voxel ``center_zyx``, and the 3x3 matrix from patch offsets to case offsets (z, y, x)."""

    center_zyx: np.ndarray
    matrix_zyx: np.ndarray

    @property
    def is_plain(self) -> bool:
        """Axes only flipped: the patch can be copied."""
        return bool((np.abs(self.matrix_zyx) == np.eye(3)).all())


def draw_matrix(ranges: SpatialRanges, rng: np.random.Generator) -> np.ndarray:
    """Draw a 3x3 matrix: flips per axis, an optional rotation about a random axis, an optional scale for all axes."""
    matrix = np.diag(np.where(rng.random(3) < ranges.flip_p, -1.0, 1.0))
    rotates, scales = rng.random(2) < (ranges.rotate_p, ranges.scale_p)
    axis, angle = rng.normal(size=3), rng.uniform(-1, 1) * np.deg2rad(ranges.rotate_degrees)
    scale = np.exp(rng.uniform(*np.log(ranges.scale)))
    if rotates:
        matrix = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix() @ matrix
    return matrix * scale if scales else matrix


def cut_patch(
    image_czyx: np.ndarray | Tensor, label_zyx: np.ndarray | Tensor, place: PatchPlace, size: int
) -> tuple[Tensor, Tensor]:
    """``(4, size, size, size)`` float32 in the units of the case and ``(size, size, size)`` uint8; 0 outside the case.

    Images are interpolated linearly and labels by nearest neighbor; if the matrix only flips, both are copied. Arrays
    are processed on the CPU, tensors on their device.
    """
    reach = np.abs(place.matrix_zyx).sum(axis=1) * (size - 1) / 2
    low = np.floor(place.center_zyx - reach + 1e-6).astype(int)
    high = np.ceil(place.center_zyx + reach - 1e-6).astype(int) + 1
    if place.is_plain:
        high = low + size
    image, label = (torch.as_tensor(cut_window(array, low, high)) for array in (image_czyx, label_zyx))
    if place.is_plain:
        flipped = [axis - 3 for axis in range(3) if place.matrix_zyx[axis, axis] < 0]
        return image.flip(flipped).float(), label.flip(flipped)
    grid = _sampling_grid(place, low, high, size, image.device)
    moved = F.grid_sample(image[None].float(), grid, align_corners=True)
    nearest = F.grid_sample(label[None, None].float(), grid, "nearest", align_corners=True)
    return moved[0], nearest[0, 0].to(torch.uint8)


def _sampling_grid(
    place: PatchPlace, low: np.ndarray, high: np.ndarray, size: int, device: torch.device
) -> torch.Tensor:
    """grid_sample's coordinates: -1 and 1 are the centers of the window's first and last voxel, axes x, y, z."""
    half = np.maximum((high - low - 1) / 2, 0.5)
    middle = low + (high - low - 1) / 2
    matrix = place.matrix_zyx * ((size - 1) / 2) / half[:, None]
    shift = (place.center_zyx - middle) / half
    theta = np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1)
    return F.affine_grid(torch.from_numpy(theta[None]).float().to(device), [1, 1, size, size, size], align_corners=True)


def cut_window(array: ArrayT, low: np.ndarray, high: np.ndarray) -> ArrayT:
    """``array[..., low:high]`` as a new array or tensor, 0 where that lies outside."""
    shape, size = np.array(array.shape[-3:]), (*array.shape[:-3], *(high - low).tolist())
    out: Any = array.new_zeros(size) if isinstance(array, Tensor) else np.zeros(size, array.dtype)
    start, stop = np.clip(low, 0, shape), np.clip(high, 0, shape)
    if (stop > start).all():
        take = [slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)]
        put = [slice(int(a), int(b)) for a, b in zip(start - low, stop - low, strict=True)]
        out[..., put[0], put[1], put[2]] = array[..., take[0], take[1], take[2]]
    return out
