"""Read a NIfTI file once, forward, and never more of it than its header claims.

nibabel reads the header. The voxels are inflated here: a header that claims gigabytes is refused before memory is
taken, and a file cut short is noticed.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from nibabel import nifti1, nifti2
from nibabel.spatialimages import HeaderDataError, SpatialImage

from voxmmsd.data.formats.image import Image, check_claim, check_shape, checked_grid, checked_values
from voxmmsd.errors import InputError

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


def read_nifti(path: Path) -> Image:
    """Voxels and grid of a NIfTI-1 or -2 file (``.nii``, ``.nii.gz``), values scaled as its header says.

    The sform is used where its code is above 0, else the qform, else (with a note) the spacing alone, as nibabel does.

    Raises:
        InputError: empty, truncated or damaged, no NIfTI, no 3-D volume of plain finite numbers, no believable grid.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream, path)
    except (OSError, MemoryError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.__class__.__name__}: {error})", "check its permissions, or copy it again"
        ) from error


def image_of(loaded: SpatialImage, name: str) -> Image:
    """Voxels and grid of a nibabel image, with the checks of a file. ``name`` is what messages call it.

    Raises:
        InputError: no 3-D volume of plain finite numbers, or no believable grid.
    """
    path = Path(name)
    shape = tuple(int(n) for n in loaded.shape)
    check_shape(shape, path)
    if loaded.affine is None:
        raise InputError(f"{name}: the image has no affine", "give it one when you create it")
    grid = checked_grid(shape, np.asarray(loaded.affine, np.float64), path)
    array = np.asanyarray(loaded.dataobj)
    return Image(checked_values(array.reshape(*shape[:3], -1).T, path), grid)


def _read(stream: BinaryIO, path: Path) -> Image:
    file_bytes = path.stat().st_size
    if file_bytes == 0:
        raise InputError(f"{path}: is an empty file", "copy it again")
    compressed = stream.read(2) == _GZIP
    stream.seek(0)
    content = _Forward(_inflated(stream, path) if compressed else iter(lambda: stream.read(_CHUNK), b""), path)
    header = _header(content, path)
    dtype, shape, offset = _layout(header, path)
    check_shape(shape, path)
    count = int(np.prod(shape, dtype=np.int64))
    claimed = count * dtype.itemsize
    check_claim(offset + claimed, file_bytes, compressed, path)
    grid, notes = _grid(header, shape, path)
    content.skip(offset - content.position)
    array = np.frombuffer(content.take(claimed), dtype).reshape(-1, *shape[2::-1])
    content.finish()
    return Image(_scaled(checked_values(array, path), header, path), grid, notes)


def _header(content: _Forward, path: Path) -> Any:
    start = bytes(content.take(348))
    if start[344:348] == b"n+1\0":
        return nifti1.Nifti1Header.from_fileobj(io.BytesIO(start), check=False)
    if start[4:8] == b"n+2\0":
        return nifti2.Nifti2Header.from_fileobj(io.BytesIO(start + bytes(content.take(540 - 348))), check=False)
    raise InputError(f"{path}: is not a NIfTI file (its magic number is missing)", "give the original .nii or .nii.gz")


def _layout(header: Any, path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Voxel type, shape (x, y, z[, frames]) without trailing axes of one, byte offset of the voxels."""
    try:
        dtype = header.get_data_dtype()
        shape = tuple(int(n) for n in header.get_data_shape())
        offset = int(header.get_data_offset())
    except (HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: its NIfTI header is broken ({error})", "give the original file") from error
    if dtype.fields or dtype.kind not in "iuf":
        raise InputError(f"{path}: holds colored or complex voxels ({dtype})", "give a volume of plain numbers")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not shape or min(shape) < 1 or offset < header.structarr.dtype.itemsize:
        raise InputError(
            f"{path}: its NIfTI header is broken (size {shape}, voxels at byte {offset})", "give the original file"
        )
    return dtype, shape, offset


def _grid(header: Any, shape: tuple[int, ...], path: Path) -> tuple[Any, tuple[str, ...]]:
    if header["pixdim"][0] not in (1, -1):
        header["pixdim"][0] = 1  # the standard's default handedness
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    unit, notes = _unit_mm(header)
    if sform and qform and not _is_sound(header.get_sform()) and _is_sound(_qform(header)):
        sform, notes = False, (*notes, "its header's sform is broken: the qform is used")
    try:
        affine = header.get_sform() if sform else header.get_qform() if qform else header.get_base_affine()
    except (HeaderDataError, ValueError) as error:
        raise InputError(
            f"{path}: its NIfTI header has no valid orientation ({error})", "correct its header"
        ) from error
    affine = np.asarray(affine, np.float64)
    affine[:3] *= unit
    grid = checked_grid(shape, affine, path)
    if sform and qform:
        return grid, (*notes, *_disagreement(header, grid, unit))
    return grid, notes if sform or qform else (*notes, "its header gives no orientation: left and right are assumed")


def _unit_mm(header: Any) -> tuple[float, tuple[str, ...]]:
    """Millimeters of one unit of length in the header, and what is to be said of it."""
    name, scale = {1: ("meters", 1000.0), 3: ("micrometers", 0.001)}.get(int(header["xyzt_units"]) & 7, ("", 1.0))
    return scale, (f"its header is in {name}",) if name else ()


def _qform(header: Any) -> np.ndarray | None:
    try:
        return np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError):
        return None


def _is_sound(affine: np.ndarray | None) -> bool:
    return affine is not None and bool(np.isfinite(affine).all()) and abs(np.linalg.det(affine[:3, :3])) > 1e-9


def _disagreement(header: Any, grid: Any, unit: float) -> tuple[str, ...]:
    qform = _qform(header)
    if qform is None:
        return ("its header's qform is broken: the sform is used",)
    qform[:3] *= unit
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape_zyx[::-1]], [1])).reshape(4, -1)
    distance = np.abs(((qform - grid.affine_xyz) @ corners)[:3]).max()
    if np.isfinite(distance) and distance <= max(grid.spacing_mm_zyx):
        return ()
    return (f"its header's sform and qform differ by up to {distance:.1f} mm: the sform is used",)


def _scaled(array: np.ndarray, header: Any, path: Path) -> np.ndarray:
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"{path}: its NIfTI header's scaling is broken ({error})", "give the original file") from error
    if slope is None or (slope == 1 and inter == 0):
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = array.astype(np.float32) * np.float32(slope) + np.float32(inter)
    return checked_values(scaled, path)


def _inflated(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Pieces of a gzip stream (of one or many members); the end is checked against its checksum."""
    inflater = zlib.decompressobj(wbits=31)
    fresh = True
    while packed := stream.read(_CHUNK // 4):
        while packed:
            if fresh and not packed.strip(b"\0"):
                break  # padding behind the last member
            try:
                yield inflater.decompress(packed, _CHUNK)
            except zlib.error as error:
                raise InputError(f"{path}: its compressed content is damaged ({error})", "copy it again") from error
            fresh = inflater.eof
            packed = inflater.unused_data if fresh else inflater.unconsumed_tail
            if fresh:
                inflater = zlib.decompressobj(wbits=31)
    while not fresh and (piece := inflater.decompress(b"", _CHUNK)):
        yield piece
    if not (fresh or inflater.eof):
        raise InputError(f"{path}: is truncated (its compressed content ends early)", "copy it again")


class _Forward:
    """Exact counts of bytes out of pieces; what is asked for grows with what is there, not with what is claimed."""

    def __init__(self, pieces: Iterator[bytes], path: Path) -> None:
        self._pieces, self._path = pieces, path
        self._left = memoryview(b"")
        self.position = 0

    def take(self, count: int) -> bytearray:
        taken = bytearray()
        for piece in self._walk(count):
            taken += piece
        return taken

    def skip(self, count: int) -> None:
        for _ in self._walk(count):
            pass

    def finish(self) -> None:
        """Reach the end of the stream, where its checksum is, unless more follows than was asked for."""
        if not self._left:
            for piece in self._pieces:
                if piece:
                    return

    def _walk(self, count: int) -> Iterator[memoryview]:
        wanted = count
        while wanted > 0:
            if not self._left:
                self._left = memoryview(self._next(count - wanted, count))
            piece, self._left = self._left[:wanted], self._left[wanted:]
            wanted -= len(piece)
            self.position += len(piece)
            yield piece

    def _next(self, had: int, count: int) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        raise InputError(f"{self._path}: is truncated ({had:,} of {count:,} bytes are there)", "copy it again")
