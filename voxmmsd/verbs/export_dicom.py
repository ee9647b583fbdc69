"""``voxmmsd export-dicom``: a result as DICOM SEG, its volumes as a DICOM structured report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.errors import ConfigError
from voxmmsd.verbs.verb import Verb, require


@dataclass(frozen=True)
class ExportDicomConfig:
    result: str = option(
        "", "a result of segment or refine, CASEID-voxmmsd.nii.gz", affects=Affects.INPUT, positional=True
    )
    source: str = option(
        "", "the DICOM series that was segmented: the folder of its slices, or one of them", affects=Affects.INPUT
    )
    series: str = option("", "SeriesInstanceUID, if the folder contains several series", affects=Affects.INPUT)
    other_grid: bool = option(
        False,
        "resample labels of another grid to the series (nearest neighbor): only if both are in the same scanner "
        "coordinates",
    )
    out: str = option("", "output folder (default: beside the result)", affects=Affects.PLACE)


def run(config: ExportDicomConfig) -> None:
    from voxmmsd.dicom_export.export import export_dicom

    result = require(config.result, "RESULT")
    if not config.source:
        raise ConfigError(
            "--source SERIES must be given: a DICOM SEG refers to the DICOM series that was segmented",
            "name the folder of its slices; a result of NIfTI images whose DICOM series is gone cannot become one",
        )
    out = Path(config.out) if config.out else None
    exported = export_dicom(result, Path(config.source), out, series=config.series, other_grid=config.other_grid)
    for file in exported.files:
        print(file)
    for remark in exported.remarks:
        print(f"note: {remark}", file=sys.stderr)


VERB = Verb("export-dicom", "write a result as DICOM SEG and SR", ExportDicomConfig, run)
