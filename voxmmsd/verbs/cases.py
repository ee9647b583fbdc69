"""``voxmmsd cases``: list the cases in a folder."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, existing


@dataclass(frozen=True)
class CasesConfig:
    folder: str = option("", "folder of cases, or a CSV or JSON list", affects=Affects.INPUT, positional=True)
    schema: str = option("", "label schema of the data set, if file names do not determine it")


def run(config: CasesConfig) -> None:
    from voxmmsd.data.cases import find_cases

    print(find_cases(existing(config.folder), config.schema or None).report())


VERB = Verb("cases", "list the cases in a folder and what is missing", CasesConfig, run)
