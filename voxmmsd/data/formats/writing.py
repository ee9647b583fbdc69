"""Write an image as NIfTI: its voxels, its grid, and nothing that tells whose it is."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from voxmmsd.data.formats.nifti_header import header_bytes
from voxmmsd.data.volume import Grid
from voxmmsd.files import written_aside


def write_nifti(file: Path, array_zyx: np.ndarray, grid: Grid, scale: float = 1.0) -> None:
    """Write ``(z, y, x)`` on its grid, sform and qform both set, no free text in the header.

    ``scale`` is what a stored value is worth. Where the name ends in ``.gz``, nothing but the voxels decides the bytes.
    """
    header = header_bytes(array_zyx, grid, scale)
    voxels = np.ascontiguousarray(array_zyx, array_zyx.dtype.newbyteorder("<")).data
    with written_aside(file) as aside, aside.open("wb") as raw:
        if file.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed:
                packed.write(header)
                packed.write(voxels)
        else:
            raw.write(header)
            raw.write(voxels)
