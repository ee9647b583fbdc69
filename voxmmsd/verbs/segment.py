"""``voxmmsd segment``: segment cases. Its options are in ``voxmmsd.inference.config``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.errors import EXIT_WITHHELD, VoxMMSDError
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.verbs.verb import Verb, failure_line, placed_by, require

if TYPE_CHECKING:
    from voxmmsd.inference.segment import SegmentResult


def run(config: SegmentConfig) -> int:
    from voxmmsd.inference.outcomes import summary
    from voxmmsd.inference.segment import segment_cases

    require(config.out, "--out DIR")
    result = segment_cases(config)
    if config.json:
        print(json.dumps({"cases": [one.record() for one in result.outcomes]}, indent=1))
    for file in () if config.json else result.written:
        print(file)
    for case_id, error in (*result.failures, *result.withheld):
        print(failure_line(case_id, error), file=sys.stderr)
    for line in summary(result.outcomes, result.table):
        print(line, file=sys.stderr)
    unreported = [file for file in result.written if not _reported(file, config)] if config.report else []
    return 2 if unreported else _exit_code(result)


def _exit_code(result: SegmentResult) -> int:
    return 2 if result.failures else EXIT_WITHHELD if result.withheld else 0


def _reported(file: Path, config: SegmentConfig) -> bool:
    """Write the report of a result that has none yet; False, and a line, if that fails: the result is there."""
    from voxmmsd.reporting.case_report import report_files, report_result

    case_id = file.name.removesuffix("-voxmmsd.nii.gz")
    try:
        if not report_files(file.parent, case_id)[1].exists():
            written = report_result(file, model=config.model)
            for one in () if config.json else written:
                print(one)
    except VoxMMSDError as error:
        print(failure_line(case_id, error), file=sys.stderr)
        return False
    return True


VERB = placed_by(Verb("segment", "segment a case, or a folder of cases", SegmentConfig, run), "out")
