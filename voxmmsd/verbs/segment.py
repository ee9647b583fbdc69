"""``voxmmsd segment``: segment cases. Its options are in ``voxmmsd.inference.config``."""

from __future__ import annotations

import sys

from voxmmsd.inference.config import SegmentConfig
from voxmmsd.verbs.verb import Verb, failure_line, placed_by, require


def run(config: SegmentConfig) -> int:
    from voxmmsd.inference.segment import segment_cases

    require(config.out, "--out DIR")
    result = segment_cases(config)
    for file in result.written:
        print(file)
    for case_id, error in result.failures:
        print(failure_line(case_id, error), file=sys.stderr)
    return 2 if result.failures else 0


VERB = placed_by(Verb("segment", "segment a case, or a folder of cases", SegmentConfig, run), "out")
