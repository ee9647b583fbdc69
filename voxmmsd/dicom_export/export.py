"""A result and its series in, a DICOM segmentation and a structured report of its volumes out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxmmsd.dicom_export.placing import on_series
from voxmmsd.dicom_export.result import ExportedResult, read_result
from voxmmsd.dicom_export.segmentation import contents_of, segmentation_of
from voxmmsd.dicom_export.series import SourceSeries, read_source
from voxmmsd.dicom_export.volumes import report_of
from voxmmsd.errors import InputError
from voxmmsd.files import write_bytes_atomic
from voxmmsd.records.findings import blocking

SEGMENTATION, REPORT = "-voxmmsd-seg.dcm", "-voxmmsd-volumes-sr.dcm"


@dataclass(frozen=True)
class Exported:
    """The files written, and what there is to say about them."""

    files: tuple[Path, Path]
    remarks: tuple[str, ...]


def export_dicom(
    result: Path, source: Path, out: Path | None = None, *, series: str = "", other_grid: bool = False
) -> Exported:
    """Write ``CASEID-voxmmsd-seg.dcm`` and ``CASEID-voxmmsd-volumes-sr.dcm``.

    A second call writes the same bytes, so files that have them already may stand there.

    Args:
        result: labels of ``segment`` or ``refine``, with their record beside them.
        source: the folder of the series that was segmented, or a file of it.
        out: where to; by default beside the result.
        series: SeriesInstanceUID, if the folder contains several.
        other_grid: the labels are on another grid in the same scanner coordinates.

    Raises:
        InputError: no result, no series, or one that does not belong to the other; no labels; other files that stand
            there.
        MissingDependencyError: highdicom or SimpleITK is not installed.
    """
    read = read_source(source, series)
    found = read_result(result)
    folder = result.parent if out is None else out
    return write_dicom(found, read, folder, other_grid=other_grid)


def write_dicom(
    result: ExportedResult, series: SourceSeries, folder: Path, *, other_grid: bool = False, overwrite: bool = False
) -> Exported:
    """As ``export_dicom``, of what was read. ``overwrite``: files there are remains of a call that was cut off."""
    placed, remarks = on_series(result, series, other_grid=other_grid)
    if result.doubtful:
        found = "; ".join(finding.text for finding in blocking(result.record.findings))
        remarks.append(
            f"the labels were written despite blocking findings, and the DICOM SEG calls them doubtful: {found}"
        )
    contents = contents_of(result, series, placed.array)
    try:
        segmentation = segmentation_of(contents)
        written = (
            (folder / f"{result.case_id}{SEGMENTATION}", _encoded(segmentation)),
            (folder / f"{result.case_id}{REPORT}", _encoded(report_of(contents, segmentation))),
        )
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, LookupError) as error:
        raise InputError(
            f"{series.folder}: its DICOM header cannot be taken over ({' '.join(str(error).split())[:200]})",
            "correct the header, or export the series from the archive again",
        ) from error
    for file, content in written:
        if not overwrite and file.exists() and file.read_bytes() != content:
            raise InputError(f"{file}: exists already", "nothing is overwritten, name another --out")
    for file, content in written:
        write_bytes_atomic(file, content)
    return Exported((written[0][0], written[1][0]), tuple(remarks))


def _encoded(dataset: Any) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
