"""The series of a case that is segmented: known before the work begins, so that it is not done in vain."""

from __future__ import annotations

from voxmmsd.data.case import Case
from voxmmsd.data.formats.dicom import may_be_dicom
from voxmmsd.data.formats.sources import Source
from voxmmsd.data.reading import CaseVolumes
from voxmmsd.dicom_export.series import SourceSeries, read_source
from voxmmsd.errors import InputError

_REMEDY = (
    "segment without --dicom-seg; where the DICOM series is there too, `voxmmsd export-dicom RESULT --source SERIES` "
    "writes it afterwards"
)


def refuse_no_series(case: Case, reference: str) -> None:
    """Raise InputError if no image of a case that may define the grid of its result is a DICOM series."""
    named = {name: source for name, source in case.modalities.items() if reference in ("", name)}
    if named and not any(map(_is_dicom, named.values())):
        name, source = next(iter(named.items()))
        _refuse(case, name, source.path.name)


def source_of(volumes: CaseVolumes) -> SourceSeries:
    """The series that defines the grid of the result.

    Raises:
        InputError: it is no DICOM series, or not one that can be referred to.
        MissingDependencyError: highdicom is not installed.
    """
    name = volumes.reference
    source = volumes.case.modalities[name]
    if not _is_dicom(source):
        _refuse(volumes.case, name, source.path.name)
    return read_source(source.path, source.series_uid or "")


def _is_dicom(source: Source) -> bool:
    return source.path.is_dir() or (source.path.is_file() and may_be_dicom(source.path))


def _refuse(case: Case, name: str, file: str) -> None:
    raise InputError(
        f"case {case.id}: {name} is {file}, and a DICOM SEG refers to the DICOM series that was segmented", _REMEDY
    )
