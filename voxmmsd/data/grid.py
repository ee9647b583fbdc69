"""The grid of an array. Needs numpy only, so that records can be read without the slow import of SciPy and nibabel.

A grid's affine maps ``(x, y, z)`` indices, the array's axes reversed, to RAS millimeters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_ZYX_FROM_XYZ = np.eye(4)[[2, 1, 0, 3]]  # the same matrix maps either way


@dataclass(frozen=True)
class Grid:
    """Positions of voxels: ``shape_zyx`` and ``affine_xyz`` (4x4 float64, voxel index (x, y, z) -> RAS mm)."""

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
        """Whether all voxels of both grids have the same position, within ``tolerance_mm`` at the farthest corner."""
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
        """A grid of isotropic voxels with the same extent, to within half a voxel at the far side."""
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
