"""Images on disk or in memory, and how they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxmmsd.data.formats.detached import data_files
from voxmmsd.data.formats.image import Image
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError
from voxmmsd.files import sha256_of

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
UNREAD_ENDINGS = (
    *(f".nii.{packed}" for packed in ("bz2", "xz", "zst", "lz4", "zip", "7z")),
    *(".mgz", ".mgh", ".mnc", ".hdr", ".img", ".hdr.gz", ".img.gz"),
)
_ITK_STARTS = (b"NRRD0", b"ObjectType", b"NDims")


@dataclass(frozen=True)
class Source:
    """One image: a file, one frame of a 4-D file, or a DICOM series (the folder of its slices).

    ``image``: an image that is in memory already; ``path`` is then only its name in messages.
    """

    path: Path
    channel: int | None = None
    series_uid: str | None = None
    image: Image | None = field(default=None, compare=False, repr=False)


def ending_of(name: str) -> str | None:
    """The ending of an image file name (lower case), or None."""
    lower = name.lower()
    return next((e for e in (*NIFTI_ENDINGS, *ITK_ENDINGS, *UNREAD_ENDINGS) if lower.endswith(e) and lower != e), None)


def stem_of(name: str) -> str:
    """A name without its image ending."""
    return name[: -len(ending_of(name) or "")] if ending_of(name) else name


def why_unread(name: str) -> str:
    """Why an image file of this name is not read; empty where it is."""
    ending = ending_of(name)
    return f"{ending} files are not read; convert it to .nii.gz" if ending in UNREAD_ENDINGS else ""


def read_volume(source: Source) -> Volume:
    """``(z, y, x)``, integers as stored or float32, on its grid in RAS mm.

    Raises:
        InputError: missing, unreadable, or no 3-D volume of plain finite numbers on a believable grid.
        MissingDependencyError: the format needs SimpleITK, which is not installed.
    """
    return frame_of(read_image(source), source)


def read_image(source: Source) -> Image:
    """All frames of the file or series behind a source. Raises as ``read_volume``."""
    path = source.path
    if source.image is not None:
        return source.image
    if path.is_dir():
        from voxmmsd.data.formats.dicom import read_series

        return read_series(path, source.series_uid)
    if not path.is_file():
        if path.exists():
            raise InputError(f"{path}: is neither a file nor a folder", "give an image, or a folder of DICOM slices")
        raise InputError(f"{path}: no such file", "check the path")
    if ending_of(path.name) in UNREAD_ENDINGS:
        raise InputError(f"{path}: {ending_of(path.name)} files are not read", "convert it to .nii.gz")
    start = _start_of(path)
    if start[128:] == b"DICM":
        from voxmmsd.data.formats.dicom import read_dicom_file

        return read_dicom_file(path)
    if ending_of(path.name) in ITK_ENDINGS or start.startswith(_ITK_STARTS):
        from voxmmsd.data.formats.itk import read_itk

        return read_itk(path)
    from voxmmsd.data.formats.nifti import read_nifti

    return read_nifti(path)


def frame_of(image: Image, source: Source) -> Volume:
    """The requested frame. Raises InputError if it is ambiguous or out of range."""
    count = len(image.frames_tzyx)
    if source.channel is None and count > 1:
        raise InputError(
            f"{source.path}: holds {count} volumes where one modality is expected",
            "give its dataset.json beside it, or one 3-D file per modality",
        )
    channel = source.channel or 0
    if not 0 <= channel < count:
        raise InputError(f"{source.path}: has no volume {channel}, only 0 to {count - 1}", "check its dataset.json")
    return Volume(image.frames_tzyx[channel], image.grid)


def _start_of(path: Path) -> bytes:
    """The first bytes, which tell the format where the name does not; empty where the name tells it."""
    if ending_of(path.name):
        return b""
    try:
        with path.open("rb") as stream:
            return stream.read(132)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "check its permissions") from error


def source_sha256(source: Source) -> str:
    """Content hash of an image: of its file and those that its header names, or of the files of a DICOM series.

    Files are taken in order of name. Of a folder that holds several series and does not say which one is meant, which
    cannot be read, it is that of all files.

    Raises:
        InputError: it is not there, or cannot be read.
        MissingDependencyError: it is a folder, and SimpleITK is not installed.
    """
    return _sha256_of(source, _files_of)


def has_sha256(source: Source, digest: str) -> bool:
    """Whether a digest of a record is that of an image. Raises as ``source_sha256``.

    Version 0.1 took all files of a folder, whatever the series, and a header without the files that it names.
    """
    return digest in (source_sha256(source), former_sha256(source))


def former_sha256(source: Source) -> str:
    """The digest as records of version 0.1 have it, see ``has_sha256``. Raises InputError as ``source_sha256``."""
    return _sha256_of(source, lambda source: _all_in(source.path))


def _sha256_of(source: Source, files: Callable[[Source], Sequence[Path]]) -> str:
    if not source.path.exists():
        raise InputError(f"{source.path}: no such file", "check the path")
    try:
        return hashlib.sha256("".join(map(sha256_of, files(source))).encode()).hexdigest()
    except OSError as error:
        where = error.filename or source.path
        raise InputError(f"{where}: cannot be read ({error.strerror})", "check its permissions") from error


def _files_of(source: Source) -> Sequence[Path]:
    path = source.path
    if path.is_dir():
        from voxmmsd.data.formats.dicom import series_of

        series = series_of(path, source.series_uid)
        return sorted(series.files) if series else _all_in(path)
    if ending_of(path.name) in ITK_ENDINGS or _start_of(path).startswith(_ITK_STARTS):
        return [path, *data_files(path)]
    return [path]


def _all_in(path: Path) -> Sequence[Path]:
    return [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
