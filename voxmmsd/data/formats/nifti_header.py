"""The header of a NIfTI-1 or -2 file: what its bytes say, and the bytes of a new one.

nibabel, which the tests compare this with, knows more than is needed here, and its import takes longer than reading a
case does. The standard: https://nifti.nimh.nih.gov (``nifti1.h``, ``nifti2.h``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from voxmmsd.data.grid import Grid

NIFTI_1_BYTES, NIFTI_2_BYTES = 348, 540
SCANNER, MILLIMETERS = 1, 2

_NAMES = ("sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units",
          "qform_code", "sform_code", "quatern", "qoffset", "srow", "magic")  # fmt: skip
_LAYOUTS = {
    1: np.dtype({
        "names": _NAMES,
        "formats": ["<i4", ("<i2", 8), "<i2", "<i2", ("<f4", 8), "<f4", "<f4", "<f4", "u1",
                    "<i2", "<i2", ("<f4", 3), ("<f4", 3), ("<f4", (3, 4)), "S4"],
        "offsets": [0, 40, 70, 72, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280, 344],
        "itemsize": NIFTI_1_BYTES,
    }),
    2: np.dtype({
        "names": _NAMES,
        "formats": ["<i4", ("<i8", 8), "<i2", "<i2", ("<f8", 8), "<i8", "<f8", "<f8", "<i4",
                    "<i4", "<i4", ("<f8", 3), ("<f8", 3), ("<f8", (3, 4)), "S4"],
        "offsets": [0, 16, 12, 14, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400, 4],
        "itemsize": NIFTI_2_BYTES,
    }),
}  # fmt: skip
_UNIT_LENGTH = {1: 3 * np.finfo(np.float32).eps, 2: 3 * np.finfo(np.float64).eps}  # how far a quaternion may be off it
_TYPES: dict[int, Any] = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
    32: "c8", 1792: "c16", 2048: "V32", 1536: "V16",  # the last two: long doubles, which differ between machines
    128: [(color, "u1") for color in "RGB"], 2304: [(color, "u1") for color in "RGBA"],
}  # fmt: skip


class HeaderError(ValueError):
    """What is wrong with a header, in words."""


@dataclass(frozen=True)
class NiftiHeader:
    """``version`` 1 or 2; ``fields``: as the standard names them, ``quatern``, ``qoffset`` and ``srow`` as arrays."""

    version: int
    fields: Any
    byte_order: str

    @classmethod
    def of(cls, version: int, content: bytes) -> NiftiHeader:
        """Of NIFTI_1_BYTES or NIFTI_2_BYTES bytes. The number of axes, 1 to 7, tells their order, else their count."""
        layout = _LAYOUTS[version]
        fields = np.frombuffer(content, layout)[0]
        axes, swapped = int(fields["dim"][0]), layout.newbyteorder("S")
        if not (1 <= axes <= 7 or (axes == 0 and int(fields["sizeof_hdr"].byteswap()) != layout.itemsize)):
            return cls(version, np.frombuffer(content, swapped)[0], ">")
        return cls(version, fields, "<")

    @property
    def size(self) -> int:
        """Bytes of the header."""
        return _LAYOUTS[self.version].itemsize

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels. Raises HeaderError for a code that the standard does not have."""
        code = int(self.fields["datatype"])
        if code not in _TYPES:
            raise HeaderError(f"unknown data type {code}")
        return np.dtype(_TYPES[code]).newbyteorder(self.byte_order)

    @property
    def shape_xyz(self) -> tuple[int, ...]:
        """Of all axes."""
        return tuple(int(n) for n in self.fields["dim"][1 : int(self.fields["dim"][0]) + 1])

    @property
    def slope_inter(self) -> tuple[float, float] | None:
        """What voxels are multiplied by, and what is added; None where they are values. Raises HeaderError."""
        slope, inter = float(self.fields["scl_slope"]), float(self.fields["scl_inter"])
        if slope == 0 or not np.isfinite(slope):
            return None
        if not np.isfinite(inter):
            raise HeaderError(f"a slope of {slope:g} and an intercept of {inter}")
        return slope, inter

    def sform(self) -> np.ndarray:
        """4x4 float64: index (x, y, z) to RAS, in the header's unit."""
        return np.concatenate([self.fields["srow"].astype(np.float64), [[0.0, 0.0, 0.0, 1.0]]])

    def qform(self) -> np.ndarray:
        """As ``sform``, from the quaternion. Raises HeaderError where it is none, or a spacing is negative."""
        x, y, z = self.fields["quatern"].astype(np.longdouble)
        squared = 1 - (x * x + y * y + z * z)
        if squared < 0 and not abs(squared) < _UNIT_LENGTH[self.version]:
            raise HeaderError(f"a quaternion of squared length {float(1 - squared):g}")
        w = np.sqrt(squared) if squared >= _UNIT_LENGTH[self.version] else np.longdouble(0)
        spacing = self.fields["pixdim"][1:4].astype(np.float64)
        if (spacing < 0).any():
            raise HeaderError("a negative voxel spacing")
        spacing[2] *= -1 if self.fields["pixdim"][0] == -1 else 1
        affine = np.eye(4)
        affine[:3, :3] = _rotation(w, x, y, z) * spacing
        affine[:3, 3] = self.fields["qoffset"]
        return affine

    def base_affine(self) -> np.ndarray:
        """As ``sform``, from the spacing alone: x from right to left, the middle of the volume at 0."""
        spacing = self.fields["pixdim"][1:4].astype(np.float64) * (-1, 1, 1)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -(np.array(self.shape_xyz[:3]) - 1) / 2 * spacing
        return affine


def header_bytes(array_zyx: np.ndarray, grid: Grid, scale: float = 1.0) -> bytes:
    """The 352 bytes before the voxels of a NIfTI-1 file: the header, sform and qform both set, and no extension.

    ``scale`` is what a stored value is worth.
    """
    fields = np.zeros((), _LAYOUTS[1])
    code = next(code for code, kind in _TYPES.items() if np.dtype(kind) == array_zyx.dtype)
    rotation, factor = _closest_rotation(grid.affine_xyz)
    fields["sizeof_hdr"], fields["magic"] = NIFTI_1_BYTES, b"n+1"
    fields["dim"] = (3, *grid.shape_zyx[::-1], 1, 1, 1, 1)
    fields["datatype"], fields["bitpix"] = code, 8 * array_zyx.dtype.itemsize
    fields["pixdim"] = (factor, *grid.spacing_mm_zyx[::-1], 1, 1, 1, 1)
    fields["vox_offset"], fields["xyzt_units"] = NIFTI_1_BYTES + 4, MILLIMETERS
    fields["scl_slope"], fields["scl_inter"] = scale, 0
    fields["qform_code"] = fields["sform_code"] = SCANNER
    fields["quatern"] = _quaternion(rotation)[1:] + 0.0  # no -0.0
    fields["qoffset"], fields["srow"] = grid.affine_xyz[:3, 3], grid.affine_xyz[:3]
    return fields.tobytes() + bytes(4)


def _closest_rotation(affine: np.ndarray) -> tuple[np.ndarray, int]:
    """The rotation that is closest to the axes of a grid, the last one turned round where they are left-handed, and
    -1 there, else 1."""
    axes = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    factor = 1 if np.linalg.det(axes) > 0 else -1
    left, _, right = np.linalg.svd(axes * (1, 1, factor))
    return left @ right, factor


def _rotation(w: Any, x: Any, y: Any, z: Any) -> np.ndarray:
    """3x3, of a quaternion that is close to unit length."""
    matrix = np.array([
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ])  # fmt: skip
    return (matrix / (w * w + x * x + y * y + z * z)).astype(np.float64)


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """(w, x, y, z) with w >= 0: the eigenvector of the largest eigenvalue (Bar-Itzhack 2000), which is stable where
    w is close to 0."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array([
        [xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, yy - xx - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, zz - xx - yy],
    ])  # fmt: skip
    found = np.linalg.eigh(symmetric)[1][:, -1]
    first = found[np.flatnonzero(np.abs(found) > 1e-9)[0]]
    return found if first > 0 else -found
