"""DICOM: list the series in a folder, and read one as a volume."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.data.formats.dicom_frames import frames_of
from voxmmsd.data.formats.image import Image, checked_grid
from voxmmsd.data.formats.itk import RAS_FROM_LPS, read_frames, read_slices, reason_of, simpleitk
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
    "lossy": "0028|2110",
}
_UNEVEN = 0.1  # of the distance between slices
# Compressions that GDCM decodes, and the names of those that it does not (DICOM PS3.6, annex A), by transfer syntax.
_JPEG = "1.2.840.10008.1.2.4."
_DECODED = {"1.2.840.10008.1.2.5", *(f"{_JPEG}{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))}
_UNCOMPRESSED = {f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2")}
_NOT_DECODED = {
    **{f"{_JPEG}{n}": "High-Throughput JPEG 2000" for n in range(201, 204)},
    **{f"{_JPEG}{n}": "MPEG video" for n in range(100, 109)},
    f"{_JPEG}110": "JPEG XL (lossless)",
    f"{_JPEG}112": "JPEG XL",
}
_NOBODY = re.compile(
    r"|0+|x+|anon|anonym(e|isiert|i[sz]ed|ous)?|de-?identified|no[_ -]?(id|name)|none|null|n/?a|removed|unknown",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"|\.(?:dcm|dicom|ima|\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """One series in one folder, its slices in order of position. ``tags`` are those of its first slice, by the names in
    this module's table; ``heights_mm``, of each slice or frame, run along the slices' normal and rise;
    ``positions_mm``, of their first voxels (LPS), are empty where a file does not tell its own."""

    folder: Path
    uid: str
    tags: Mapping[str, str]
    files: tuple[Path, ...]
    heights_mm: tuple[float, ...]
    positions_mm: tuple[tuple[float, ...], ...] = ()

    @property
    def slice_count(self) -> int:
        return len(self.heights_mm)

    @property
    def has_contrast(self) -> bool:
        return has_contrast(self.tags)

    @property
    def why_no_volume(self) -> str:
        """Why its slices make no single volume; empty where they do."""
        steps = np.diff(self.heights_mm)
        if len(steps) == 0:
            return ""
        usual = float(np.median(steps))
        if steps.min() <= 1e-3:
            return "the DICOM series has several slices at one place: it holds more than one volume"
        if np.abs(steps - usual).max() > _UNEVEN * usual:
            return (
                f"the DICOM series' slices are {steps.min():.2f} to {steps.max():.2f} mm apart: slices are missing or "
                "unevenly spaced"
            )
        if (off := self._off_line_mm()) > _UNEVEN * usual:
            return f"the DICOM series' slices are shifted sideways, by up to {off:.2f} mm off a straight line"
        if self.slice_count > len(self.files) > 1:
            return f"the DICOM series is spread over {len(self.files)} multi-frame files"
        return ""

    def _off_line_mm(self) -> float:
        """The greatest distance of a slice's position from the line between those of the first and the last."""
        if not self.positions_mm:
            return 0.0
        places, heights = np.array(self.positions_mm), np.array(self.heights_mm)
        shares = (heights - heights[0]) / (heights[-1] - heights[0])
        return float(np.linalg.norm(places - places[0] - np.outer(shares, places[-1] - places[0]), axis=1).max())


def has_contrast(tags: Mapping[str, str]) -> bool:
    """Whether a contrast agent is recorded."""
    return tags["contrast"].upper() not in ("", "NO", "NONE", "N", "NO CONTRAST")


def patient_number(patient_id: str) -> str:
    """What the tag PatientID says, empty for what anonymizers write into it for every patient."""
    return "" if _NOBODY.fullmatch(patient_id.strip()) else patient_id


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
    return _volume_of(chosen[0])


def read_dicom_file(file: Path) -> Image:
    """The volume of one DICOM file with several frames. Raises as ``read_series``."""
    return _volume_of(_series(file, "", [_read_slice(file)]))


def _volume_of(series: Series) -> Image:
    if series.why_no_volume:
        raise InputError(f"{series.folder}: {series.why_no_volume}", "export a single, complete volume of it")
    first = series.files[0]
    try:
        if series.slice_count > len(series.files):
            image = read_frames(first, frames_of(first))
        else:
            image = _placed(read_slices(series.files, series.folder), series)
    except InputError as error:
        if why := _why_not_decoded(first):
            raise InputError(f"{series.folder}: {why}", "export it uncompressed") from error
        raise
    if series.tags["lossy"] == "01":
        return replace(image, notes=(*image.notes, "was compressed with loss"))
    return image


def _placed(image: Image, series: Series) -> Image:
    """With the third axis from the first slice to the last one: ITK's is upright on the slices even where they shift
    sideways from one to the next."""
    if len(series.positions_mm) != image.grid.shape_zyx[0] or len(series.positions_mm) < 2:
        return image
    first, last = np.array(series.positions_mm[0]), np.array(series.positions_mm[-1])
    affine = image.grid.affine_xyz.copy()
    affine[:3, 2] = RAS_FROM_LPS[:3, :3] @ (last - first) / (len(series.positions_mm) - 1)
    affine[:3, 3] = RAS_FROM_LPS[:3, :3] @ first
    grid = checked_grid(image.grid.shape_zyx[::-1], affine, series.folder)
    return image if grid.same_as(image.grid) else replace(image, grid=grid)


def series_of(folder: Path, uid: str | None) -> Series | None:
    """The requested series of a folder, or None if it is ambiguous. Raises the same errors as ``series_in``."""
    series, _ = series_in(folder, sorted(f for f in folder.iterdir() if f.is_file() and may_be_dicom(f)))
    chosen = [one for one in series if uid in (None, one.uid)]
    return chosen[0] if len(chosen) == 1 else None


@dataclass(frozen=True)
class _Slice:
    """``heights_mm``, ``positions_mm``: of each of its frames."""

    file: Path
    tags: dict[str, str]
    heights_mm: tuple[float, ...]
    positions_mm: tuple[tuple[float, ...], ...]


def _series(folder: Path, uid: str, slices: list[_Slice]) -> Series:
    ordered = sorted(slices, key=lambda one: (one.heights_mm[0], one.file.name))
    heights = [height for one in ordered for height in one.heights_mm]
    positions = [position for one in ordered for position in one.positions_mm]
    if len(positions) == len(heights):
        positions = [positions[index] for index in np.argsort(heights, kind="stable")]
    return Series(
        folder=folder,
        uid=uid,
        tags=ordered[0].tags,
        files=tuple(one.file for one in ordered),
        heights_mm=tuple(sorted(heights)),
        positions_mm=tuple(positions) if len(positions) == len(heights) else (),
    )


def _read_slice(file: Path) -> _Slice:
    reader = simpleitk(str(file)).ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        why = _why_not_decoded(file) or f"is no DICOM image ({reason_of(error)})"
        raise InputError(f"{file}: {why}", "export it again") from error
    tags = {name: _tag(reader, key) for name, key in TAGS.items()}
    if int(np.prod(reader.GetSize()[2:])) == 1:
        return _Slice(file, tags, *_place(tags))
    frames = frames_of(file)
    frame_tags = {name: text for name, text in frames.tags.items() if text}
    positions = tuple(map(tuple, frames.positions_mm.tolist()))
    return _Slice(file, {**tags, **frame_tags}, tuple(frames.heights_mm.tolist()), positions)


def _tag(reader: Any, key: str) -> str:
    if not reader.HasMetaDataKey(key):
        return ""
    return str(reader.GetMetaData(key)).encode("utf-8", "replace").decode("utf-8").strip(" \0")


def _place(tags: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Distance (mm) of a slice along the normal of its plane, and its position; 0 and none if not in the file."""
    try:
        position = np.array(tags["position"].split("\\"), np.float64).reshape(3)
        across, down = np.array(tags["orientation"].split("\\"), np.float64).reshape(2, 3)
    except ValueError:
        return (0.0,), ()
    return (float(np.cross(across, down) @ position),), (tuple(position.tolist()),)


def _why_not_decoded(file: Path) -> str:
    """That the file is compressed in a way that is not read, and how; empty where it is read."""
    with file.open("rb") as stream:
        start = stream.read(2048)
    # The header's first part is always little-endian with explicit types (PS3.10, section 7.1).
    found = re.search(rb"\x02\x00\x10\x00UI(..)", start, re.DOTALL)
    if not found:
        return ""
    length = int.from_bytes(found[1], "little")
    syntax = start[found.end() : found.end() + length].strip(b"\0 ").decode("ascii", "replace")
    if syntax in _DECODED | _UNCOMPRESSED:
        return ""
    name = _NOT_DECODED.get(syntax, "a method that is not known here")
    return f"is compressed by {name} (transfer syntax {syntax}), which is not read"
