"""The DICOM series that a segmentation refers to: its header, and where its frames lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.data.formats.dicom import Series, may_be_dicom, read_series, series_in
from voxmmsd.data.formats.dicom_frames import BROKEN, frames_of
from voxmmsd.data.grid import Grid
from voxmmsd.dicom_export.package import highdicom
from voxmmsd.errors import InputError

_RAS_FROM_LPS = np.array([-1.0, -1.0, 1.0])
_IN_PLANE_MM = 0.1  # what a frame may lie beside its place in the volume
_UNEVEN = 0.1  # of the distance between slices, as the reading of a series allows
_ROUNDING = 1e-3  # of direction cosines
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
# Of type 2 in every image: a header may leave them empty, and some de-identified ones leave them out.
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class SourceSeries:
    """A series as a segmentation refers to it.

    ``headers``: of its files, without voxels, in the order of ``grid``'s slices; or a single one of several frames.
    ``slices``: of each frame, in the order in which they are stored, its slice in ``grid``, which is that of the volume
    that ``read_series`` makes of the series.
    """

    folder: Path
    uid: str
    headers: tuple[Any, ...]
    grid: Grid
    slices: np.ndarray

    @property
    def number(self) -> int:
        """The number of the series in its study, 0 if it has none."""
        return int(self.headers[0].get("SeriesNumber") or 0)


def read_source(path: Path, uid: str = "") -> SourceSeries:
    """A series in a folder, or the one that a file belongs to.

    Args:
        path: the folder of its slices, or one of them.
        uid: which one, if the folder contains several.

    Raises:
        InputError: no such series, several to choose from, unreadable, or without what a reference to it needs.
        MissingDependencyError: highdicom or SimpleITK is not installed.
    """
    highdicom(str(path))
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "give the folder of the series' slices")
    folder = path if path.is_dir() else path.parent
    if path.is_file() and not uid:
        uid = _uid_of(path)
    series = _chosen(folder, uid)
    grid = read_series(folder, series.uid).grid
    headers = tuple(_header(file) for file in series.files)
    for file, header in zip(series.files, headers, strict=True):
        _refuse_incomplete(file, header)
    _refuse_mixed(folder, headers)
    places = _places(series, headers)
    slices = np.argsort(np.argsort(places @ _normal(grid), kind="stable"))
    _refuse_displaced(folder, places[np.argsort(slices)], grid)
    if len(headers) > 1:
        _complete(headers, grid)
    return SourceSeries(folder, series.uid, headers, grid, slices)


def _uid_of(file: Path) -> str:
    found, unread = series_in(file.parent, [file])
    if unread:
        raise InputError(f"{file}: {unread[0][1]}", "give the folder of the series' slices")
    return found[0].uid


def _chosen(folder: Path, uid: str) -> Series:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and may_be_dicom(file))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})", "check the folder's permissions") from error
    found, unread = series_in(folder, files)
    chosen = [series for series in found if uid in ("", series.uid)]
    listed = "; ".join(f"{series.uid} ({_described(series)})" for series in found)
    if not chosen:
        if found:
            raise InputError(f"{folder}: holds no DICOM series {uid}", f"choose one of {listed}")
        why = f" ({unread[0][0].name}: {unread[0][1]})" if unread else ""
        raise InputError(f"{folder}: holds no DICOM series{why}", "give the folder of the series' slices")
    if len(chosen) > 1:
        raise InputError(f"{folder}: holds {len(found)} DICOM series", f"choose one with --series UID: {listed}")
    return chosen[0]


def _described(series: Series) -> str:
    return f"{series.tags['description'] or 'no description'}, {series.slice_count} slices"


def _header(file: Path) -> Any:
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        for name in _MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, None)
        for name in header.dir("CodeSequence"):
            if not all(header[name].value):  # an item without a code, as de-identification may leave it
                del header[name]
        if "SpecificCharacterSet" in header:  # highdicom takes none that switches between sets, as in Japan and Korea
            header.decode()
            header.SpecificCharacterSet = "ISO_IR 192"
    except (*BROKEN, pydicom.errors.InvalidDicomError) as error:
        raise InputError(f"{file}: its DICOM header cannot be read ({error!s:.200})", "export it again") from error
    return header


def _refuse_incomplete(file: Path, header: Any) -> None:
    lacks = [name for name in _NEEDED if not header.get(name)]
    if lacks:
        raise InputError(
            f"{file}: its DICOM header has no {', '.join(lacks)}, which a DICOM SEG refers to",
            "export the series from the archive again, with all its identifiers",
        )


def _refuse_mixed(folder: Path, headers: tuple[Any, ...]) -> None:
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        if len({str(header.get(name) or "") for header in headers}) > 1:
            raise InputError(
                f"{folder}: the files of the DICOM series differ in {name}", "export it from the archive again"
            )
    if len({str(header.SOPInstanceUID) for header in headers}) < len(headers):
        raise InputError(
            f"{folder}: several files of the DICOM series have one SOPInstanceUID", "export it from the archive again"
        )


def _refuse_displaced(folder: Path, places: np.ndarray, grid: Grid) -> None:
    """A segmentation has the places of the source's frames: they must be those of the volume that was segmented, and
    upright on each other, as viewers stack them."""
    fits = len(places) == grid.shape_zyx[0]
    if fits:
        normal = _normal(grid)
        upright = np.arange(len(places))[:, None] * (grid.affine_zyx[:3, 0] @ normal) * normal
        off = places - (grid.affine_zyx[:3, 3] + upright)
        along = off @ normal
        beside = np.sqrt(np.maximum((off**2).sum(axis=1) - along**2, 0))
        fits = bool(beside.max() <= _IN_PLANE_MM and np.abs(along).max() <= _UNEVEN * grid.spacing_mm_zyx[0])
    if not fits:
        raise InputError(
            f"{folder}: the frames of the DICOM series are no upright stack (tilted, or several volumes in one)",
            "export a single volume of it",
        )


def _normal(grid: Grid) -> np.ndarray:
    """Of the slices, in the direction in which they are counted."""
    normal = np.cross(grid.affine_xyz[:3, 0], grid.affine_xyz[:3, 1])
    normal *= np.sign(normal @ grid.affine_zyx[:3, 0])
    return normal / np.linalg.norm(normal)


def _places(series: Series, headers: tuple[Any, ...]) -> np.ndarray:
    """(frames, 3): where each frame's first voxel lies, RAS mm."""
    if series.slice_count > len(headers):
        return frames_of(series.files[0]).positions_mm * _RAS_FROM_LPS
    try:
        places = np.array([header.ImagePositionPatient for header in headers], np.float64)
        return places.reshape(len(headers), 3) * _RAS_FROM_LPS
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{series.folder}: the slices of the DICOM series do not tell their place ({error!s:.100})",
            "export it from the archive again",
        ) from error


def _complete(headers: tuple[Any, ...], grid: Grid) -> None:
    """Make headers of single frames such as highdicom takes: with a thickness, and orientations that do not differ by
    rounding."""
    first = headers[0].ImageOrientationPatient
    for header in headers:
        if not header.get("SliceThickness"):
            header.SliceThickness = float(f"{grid.spacing_mm_zyx[0]:.10g}")
        if np.allclose(header.ImageOrientationPatient, first, rtol=0, atol=_ROUNDING):
            header.ImageOrientationPatient = first
