"""``voxmmsd segment``: segment cases. Its options are in ``voxmmsd.inference.config``."""

from __future__ import annotations

import json
import sys

from voxmmsd.inference.config import SegmentConfig
from voxmmsd.verbs.verb import Verb, failure_line, placed_by, require


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
    return 2 if result.failures else 3 if result.withheld else 0


VERB = placed_by(Verb("segment", "segment a case, or a folder of cases", SegmentConfig, run), "out")
