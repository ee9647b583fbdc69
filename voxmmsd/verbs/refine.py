"""``voxmmsd refine``: carry a few edits through a volume. Its options are in ``voxmmsd.refine.config``."""

from __future__ import annotations

from voxmmsd.refine.config import RefineConfig
from voxmmsd.verbs.verb import Verb, placed_by, require


def run(config: RefineConfig) -> None:
    from voxmmsd.refine.verb import refine_result

    require(config.result, "RESULT")
    require(" ".join(config.edited), "--edited LABELS")
    require(config.out, "--out DIR")
    print(refine_result(config))


VERB = placed_by(Verb("refine", "carry a few edits of a result through its volume", RefineConfig, run), "out")
