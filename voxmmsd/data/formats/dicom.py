"""DICOM: list the series in a folder, and read one as a volume."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.data.formats.image import Image
from voxmmsd.data.formats.itk import read_slices, reason_of, simpleitk
from voxmmsd.errors import InputError

TAGS = {
    "modality": "0008|0060",
    "series_uid": "0020|000e",
    "study_uid": "0020|000d",
    "patient_id": "0010|0020",
    "study_date": "0008|0020",
    "description": "0008|103e",
    "protocol": "0018|1030",
    "contrast": "0018|0010",
    "repetition_ms": "0018|0080",
    "echo_ms": "0018|0081",
    "inversion_ms": "0018|0082",
    "position": "0020|0032",
    "orientation": "0020|0037",
}
_UNEVEN = 0.1  # of the distance between slices
_SUFFIX = re.compile(r"|\.(?:dcm|dicom|ima|\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """One series in one folder, its slices in order of position. ``tags`` are those of its first slice, by the names in
    this module's table; ``heights_mm`` run along the slices' normal; ``slice_count`` counts frames too."""

    folder: Path
    uid: str
    tags: Mapping[str, str]
    files: tuple[Path, ...]
    heights_mm: tuple[float, ...]
    slice_count: int

    @property
    def has_contrast(self) -> bool:
        return has_contrast(self.tags)


def has_contrast(tags: Mapping[str, str]) -> bool:
    """Whether a contrast agent is recorded."""
    return tags["contrast"].upper() not in ("", "NO", "NONE", "N", "NO CONTRAST")


def may_be_dicom(path: Path) -> bool:
    """Whether a file may be DICOM, from its ending or the four letters after the preamble."""
    if path.name.upper() == "DICOMDIR" or not _SUFFIX.fullmatch(path.suffix):
        return False
    if path.suffix.lower() in (".dcm", ".dicom", ".ima"):
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def series_in(folder: Path, files: Iterable[Path]) -> tuple[list[Series], list[tuple[Path, str]]]:
    """The image series among ``files``, and the files that could not be read with the reason.

    Raises:
        MissingDependencyError: SimpleITK is not installed.
    """
    slices: dict[str, list[_Slice]] = defaultdict(list)
    unread = []
    for file in files:
        try:
            one = _read_slice(file)
            slices[one.tags["series_uid"]].append(one)
        except InputError as error:
            unread.append((file, error.problem.removeprefix(f"{file}: ")))
    return [_series(folder, uid, parts) for uid, parts in slices.items()], unread


def read_series(folder: Path, uid: str | None) -> Image:
    """The volume of one series of a folder; ``uid`` may be omitted if the folder contains only one.

    Raises:
        InputError: no such series, several to choose from, or missing, duplicate or unevenly spaced slices.
        MissingDependencyError: SimpleITK is not installed.
    """
    try:
        series, unread = series_in(folder, sorted(f for f in folder.iterdir() if f.is_file() and may_be_dicom(f)))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error})", "check the folder's permissions") from error
    chosen = [one for one in series if uid in (None, one.uid)]
    if not chosen:
        why = f" ({unread[0][0].name}: {unread[0][1]})" if unread else ""
        raise InputError(
            f"{folder}: holds no DICOM series{' of that uid' if uid else ''}{why}", "give the folder of its slices"
        )
    if len(chosen) > 1:
        sizes = ", ".join(f"{len(one.files)} from {one.files[0].name}" for one in chosen)
        raise InputError(
            f"{folder}: holds several DICOM series (slices: {sizes})", "put the one meant into a folder of its own"
        )
    _check_spacing(chosen[0])
    return read_slices(chosen[0].files, folder)


def series_of(folder: Path, uid: str | None) -> Series | None:
    """The requested series of a folder, or None if it is ambiguous. Raises the same errors as ``series_in``."""
    series, _ = series_in(folder, sorted(f for f in folder.iterdir() if f.is_file() and may_be_dicom(f)))
    chosen = [one for one in series if uid in (None, one.uid)]
    return chosen[0] if len(chosen) == 1 else None


@dataclass(frozen=True)
class _Slice:
    file: Path
    tags: dict[str, str]
    height_mm: float
    frames: int


def _series(folder: Path, uid: str, slices: list[_Slice]) -> Series:
    ordered = sorted(slices, key=lambda one: (one.height_mm, one.file.name))
    return Series(
        folder=folder,
        uid=uid,
        tags=ordered[0].tags,
        files=tuple(one.file for one in ordered),
        heights_mm=tuple(one.height_mm for one in ordered),
        slice_count=sum(one.frames for one in ordered),
    )


def _read_slice(file: Path) -> _Slice:
    reader = simpleitk(str(file)).ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{file}: is no DICOM image ({reason_of(error)})", "export it again") from error
    tags = {name: _tag(reader, key) for name, key in TAGS.items()}
    return _Slice(file, tags, _height(tags), int(np.prod(reader.GetSize()[2:])))


def _tag(reader: Any, key: str) -> str:
    if not reader.HasMetaDataKey(key):
        return ""
    return str(reader.GetMetaData(key)).encode("utf-8", "replace").decode("utf-8").strip(" \0")


def _height(tags: Mapping[str, str]) -> float:
    """Distance (mm) of a slice along the normal of its plane; 0 if not in the file."""
    try:
        position = np.array(tags["position"].split("\\"), np.float64).reshape(3)
        across, down = np.array(tags["orientation"].split("\\"), np.float64).reshape(2, 3)
    except ValueError:
        return 0.0
    return float(np.cross(across, down) @ position)


def _check_spacing(series: Series) -> None:
    steps = np.diff(series.heights_mm)
    if len(steps) == 0:
        return
    usual = float(np.median(steps))
    if steps.min() <= 1e-3:
        raise InputError(
            f"{series.folder}: the DICOM series has several slices at one place", "export a single volume of it"
        )
    if np.abs(steps - usual).max() > _UNEVEN * usual:
        raise InputError(
            f"{series.folder}: the DICOM series' slices are {steps.min():.2f} to {steps.max():.2f} mm apart: slices "
            "are missing or unevenly spaced",
            "export it whole",
        )
