"""``voxmmsd check``: look for what could spoil a case's segmentation."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import option
from voxmmsd.inference.config import ImagesConfig
from voxmmsd.verbs.verb import Verb


@dataclass(frozen=True)
class CheckConfig(ImagesConfig):
    model: str = option("", "model to check the case against (default: none)")
    operated: bool = option(False, "postoperative case")


def run(config: CheckConfig) -> int:
    from voxmmsd.data.brain_mask import WORDS
    from voxmmsd.inference.segment import cases_to_segment
    from voxmmsd.labels import schema_named
    from voxmmsd.models.package import refuse_pretrained
    from voxmmsd.models.registry import resolve_model
    from voxmmsd.preflight.check import check_case
    from voxmmsd.preflight.findings import blocking

    package = resolve_model(config.model) if config.model else None
    if package is not None:
        refuse_pretrained(package)
    schema = schema_named(package.info.schema) if package is not None else None
    refused = False
    for case in cases_to_segment(config):
        word = config.brain_mask if config.brain_mask in WORDS else ""
        findings = check_case(case, operated=config.operated, schema=schema, brain_mask=word)
        refused = refused or bool(blocking(findings))
        print(f"{case.id}: {'nothing found' if not findings else ''}".rstrip())
        for finding in findings:
            print(f"  {finding.line()}")
    return 2 if refused else 0


VERB = Verb("check", "check a case for problems that could spoil its segmentation", CheckConfig, run)
