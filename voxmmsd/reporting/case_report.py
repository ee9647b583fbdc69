"""The report of a case: ``CASEID-voxmmsd-report.html`` and ``.pdf``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from voxmmsd.errors import InputError, ModelError
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.models.package import ModelInfo
from voxmmsd.refine.config import RefineConfig
from voxmmsd.refine.record import find_model
from voxmmsd.reporting.case_pdf import write_pdf
from voxmmsd.reporting.case_pictures import lesions_picture, planes_picture
from voxmmsd.reporting.contents import DIAMETERS, Report, made_report
from voxmmsd.reporting.shown import FoundResult, ShownCase, find_result, shown_case

ENDING = "-voxmmsd-report"


def report_files(folder: Path, case_id: str) -> tuple[Path, Path]:
    """The page and the PDF of a case."""
    return folder / f"{case_id}{ENDING}.html", folder / f"{case_id}{ENDING}.pdf"


def report_result(
    file: Path, *, out: Path | None = None, images: str = "", model: str = "", edited: str = "", patient_name: str = ""
) -> tuple[Path, Path]:
    """Write the report of a result; the page and the PDF.

    ``out``: their folder, by default that of the result. ``images`` and ``model``: where they are, if they were moved.
    ``edited``: labels that a person corrected. ``patient_name``: shown as it is given, and nowhere kept.

    Raises:
        InputError: no result, images that are gone or have changed, or a report that is there already.
    """
    found = find_result(file, images)
    page, pdf = report_files(out or file.parent, found.result.case_id)
    if pdf.exists():  # it is written last: a page without it is of a call that was killed
        raise InputError(f"{pdf}: exists already", "nothing is overwritten, name another --out")
    shown = shown_case(found, edited)
    report = made_report(shown, model_info(found, model), patient_name)
    write_page(report, shown, page)
    write_pdf(report, shown, pdf)
    return page, pdf


def model_info(found: FoundResult, model: str = "") -> ModelInfo | None:
    """The record of the model that made a result; None where it is not on this machine."""
    try:
        return find_model(found.result, RefineConfig(model=model)).info
    except ModelError:
        if model:
            raise
        return None


def write_page(report: Report, shown: ShownCase, file: Path) -> Path:
    """Write the page atomically."""
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        folder = Path(place)
        planes = planes_picture(shown, folder / "planes.png")
        close = lesions_picture(shown, folder / "lesions.png")
        sections = [
            *([Section("Patient", [report.patient_name])] if report.patient_name else []),
            Section("Pictures", pictures=[(planes, "Outlines of the tissues; the patient's right is at the left.")]),
            Section("Volumes", [report.expectation], report.volumes),
            Section(
                "Enhancing lesions",
                [*report.lesion_notes, DIAMETERS],
                report.lesions,
                [(close, "The largest lesions in the slices where they are measured.")] if close else (),
            ),
            Section("Places to check", [] if report.places else ["None."], report.places),
            Section("Findings", report.findings or ["None."]),
            Section("Origin", report.origin),
        ]
        return write_report(file, report.title, sections)
