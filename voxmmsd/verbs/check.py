"""``voxmmsd check``: look for what could spoil a case's segmentation."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.inference.config import ImagesConfig
from voxmmsd.verbs.verb import Verb


@dataclass(frozen=True)
class CheckConfig(ImagesConfig):
    model: str = option("", "model to check the case against (default: none)")
    postoperative: bool = option(False, "postoperative case")
    json: bool = option(False, "print a JSON record of all cases instead of text", affects=Affects.REPORT)


def run(config: CheckConfig) -> int:
    from voxmmsd.data.brain_mask import WORDS
    from voxmmsd.inference.segment import cases_to_segment
    from voxmmsd.labels import schema_named
    from voxmmsd.models.package import refuse_pretrained
    from voxmmsd.models.registry import resolve_model
    from voxmmsd.preflight.many import check_cases, summary

    package = resolve_model(config.model) if config.model else None
    if package is not None:
        refuse_pretrained(package)
    schema = schema_named(package.info.schema) if package is not None else None
    cases = cases_to_segment(config, lambda remark: print(remark, file=sys.stderr))
    word = config.brain_mask if config.brain_mask in WORDS else ""
    checked = []
    for one in check_cases(cases, postoperative=config.postoperative, schema=schema, brain_mask=word):
        checked.append(one)
        if not config.json:
            print("\n".join(one.lines(shortly=len(cases) > 1)), flush=True)
    output = [json.dumps({"cases": [one.record() for one in checked]}, indent=1)] if config.json else summary(checked)
    print("\n".join(output), end="\n" if output else "")
    return 2 if any(one.state == "refused" for one in checked) else 0


VERB = Verb("check", "check a case for problems that could spoil its segmentation", CheckConfig, run)
