"""Write an image as NIfTI: its voxels, its grid, and nothing that tells whose it is."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from voxmmsd.data.volume import Grid
from voxmmsd.files import written_aside


def write_nifti(file: Path, array_zyx: np.ndarray, grid: Grid, scale: float = 1.0) -> None:
    """Write ``(z, y, x)`` on its grid, sform and qform both set, no free text in the header.

    ``scale`` is what a stored value is worth.
    """
    image = nib.Nifti1Image(array_zyx.T, grid.affine_xyz)
    image.set_data_dtype(array_zyx.dtype)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(scale, 0)
    image.set_sform(grid.affine_xyz, code="scanner")
    image.set_qform(grid.affine_xyz, code="scanner", strip_shears=True)
    with written_aside(file) as aside:
        nib.save(image, aside)
