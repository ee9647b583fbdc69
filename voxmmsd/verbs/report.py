"""``voxmmsd report``: a page and a PDF about a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, require


@dataclass(frozen=True)
class ReportConfig:
    result: str = option(
        "", "a result of segment or refine, CASEID-voxmmsd.nii.gz", affects=Affects.INPUT, positional=True
    )
    out: str = option("", "output folder (default: that of the result)", affects=Affects.PLACE)
    case: str = option("", "folder of the images, if they are not where they were segmented", affects=Affects.INPUT)
    model: str = option("", "the model that made the result, if it is not where it was", affects=Affects.INPUT)
    edited: str = option("", "the labels as a person corrected them, on the grid of the result", affects=Affects.INPUT)
    patient_name: str = option("", "name to show on the report; none is shown otherwise")


def run(config: ReportConfig) -> None:
    from voxmmsd.reporting.case_report import report_result

    written = report_result(
        require(config.result, "RESULT"),
        out=Path(config.out) if config.out else None,
        images=config.case,
        model=config.model,
        edited=config.edited,
        patient_name=config.patient_name,
    )
    for file in written:
        print(file)


VERB = Verb("report", "write a page and a PDF about a result, with its diameters", ReportConfig, run)
