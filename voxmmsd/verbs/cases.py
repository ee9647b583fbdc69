"""``voxmmsd cases``: list the cases in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, existing


@dataclass(frozen=True)
class CasesConfig:
    folder: str = option("", "folder of cases, or a CSV or JSON list", affects=Affects.INPUT, positional=True)
    schema: str = option("", "label schema of the data set, if file names do not determine it")
    list: str = option(
        "",
        "write a list of the cases to this file (.csv or .json), to correct and to give in the folder's place; the "
        "columns of a CSV list: id, patient_id, t1n, t1c, t2w, t2f, label, brain_mask, schema, with paths such as "
        "p1/T1.nii.gz",
        affects=Affects.PLACE,
    )
    json: bool = option(False, "print a JSON record instead of text", affects=Affects.REPORT)


def run(config: CasesConfig) -> None:
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.finding.listing import write_list

    found = find_cases(existing(config.folder), config.schema or None)
    if config.list:
        write_list(Path(config.list), found.cases)
    print(json.dumps(found.record(), indent=1) if config.json else found.report())


VERB = Verb("cases", "list the cases in a folder and what is missing", CasesConfig, run)
