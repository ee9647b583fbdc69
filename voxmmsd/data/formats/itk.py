"""Read what nibabel does not, through SimpleITK: NRRD, MetaImage, DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.data.formats.dicom_frames import Frames
from voxmmsd.data.formats.image import Image, check_claim, check_shape, checked_grid, checked_values
from voxmmsd.errors import InputError, MissingDependencyError

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DETACHED = (".nhdr", ".mhd")


def simpleitk(what: str) -> Any:
    """The module SimpleITK.

    Raises:
        MissingDependencyError: it is not installed; ``what`` says what needs it.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingDependencyError(
            f"{what}: needs SimpleITK, which is not installed", "install it with pip install 'voxmmsd[formats]'"
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def reason_of(error: RuntimeError) -> str:
    """The telling line of a SimpleITK exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].split("): ")[-1] if lines else "no reason given"


def read_itk(path: Path) -> Image:
    """Voxels and grid of one file that SimpleITK reads.

    Raises:
        InputError: unreadable, or no 3-D volume of plain finite numbers on a believable grid.
        MissingDependencyError: SimpleITK is not installed.
    """
    return image_of(_decoded(path), path)


def _decoded(path: Path) -> Any:
    sitk = simpleitk(str(path))
    if not path.is_file() or path.stat().st_size == 0:
        raise InputError(f"{path}: is {'an empty file' if path.is_file() else 'no file'}", "copy it again")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_header(reader, path)
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})", "copy or export it again") from error


def _check_header(reader: Any, path: Path) -> None:
    shape = tuple(reader.GetSize())
    check_shape(shape, path)
    files = path.parent.iterdir() if path.suffix.lower() in _DETACHED else (path,)
    # One byte a voxel at least; the header does not say whether the content is compressed.
    check_claim(int(np.prod(shape, dtype=np.int64)), sum(f.stat().st_size for f in files if f.is_file()), True, path)


def read_slices(files: Sequence[Path], where: Path) -> Image:
    """The volume of a DICOM series, its files in order of position. Raises InputError as ``read_itk``."""
    if len(files) == 1:
        return read_itk(files[0])
    sitk = simpleitk(str(where))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    try:
        return image_of(reader.Execute(), where)
    except RuntimeError as error:
        raise InputError(f"{where}: the DICOM series cannot be read ({reason_of(error)})", "export it again") from error


def read_frames(file: Path, frames: Frames) -> Image:
    """The volume of a multi-frame DICOM file, its frames in order of position. Raises InputError as ``read_itk``."""
    from SimpleITK import GetArrayFromImage

    array = GetArrayFromImage(_decoded(file))
    order = np.argsort(frames.heights_mm, kind="stable")
    if array.ndim != 3 or len(array) != len(order):
        raise InputError(f"{file}: its frames cannot be told apart", "export it as a series of single slices")
    size = (array.shape[2], array.shape[1], array.shape[0])
    grid = checked_grid(size, RAS_FROM_LPS @ frames.affine_lps(order), file)
    return Image(checked_values(array[order], file)[None], grid)


def image_of(image: Any, path: Path) -> Image:
    """A SimpleITK image (LPS) as frames on a RAS grid. Raises InputError where it is not a volume of plain numbers."""
    from SimpleITK import GetArrayFromImage

    size, dimension = tuple(image.GetSize()), image.GetDimension()
    check_shape(size, path)
    if dimension > 4:
        raise InputError(f"{path}: has {dimension} axes", "give one volume per modality")
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:3, :3]
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    array = GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1 and "vector" not in image.GetPixelIDTypeAsString():
        raise InputError(f"{path}: holds complex voxels", "give a volume of plain numbers")
    if components > 1:
        array = np.moveaxis(array, -1, 0)
    frames = checked_values(array, path).reshape(-1, *array.shape[-3:])
    return Image(frames, checked_grid(size, RAS_FROM_LPS @ affine, path))
