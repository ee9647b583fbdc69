"""``voxmmsd follow``: compare the visits of a patient."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.errors import InputError
from voxmmsd.verbs.verb import Verb, require


@dataclass(frozen=True)
class FollowConfig:
    visits: tuple[str, ...] = option(
        (),
        "results of segment or refine (CASEID-voxmmsd.nii.gz) or cases of a library (LIBRARY/cases/ID), earliest first",
        affects=Affects.INPUT,
        positional=True,
    )
    out: str = option("", "output folder for the page, the record and the table", affects=Affects.PLACE)
    days: tuple[int, ...] = option((), "days since the first visit, one for each, such as 0 93 (default: from DICOM)")
    case: tuple[str, ...] = option(
        (), "folder of each visit's images, if they are not where they were segmented", affects=Affects.INPUT
    )
    registered: bool = option(
        False, "also write each visit's image and labels as NIfTI, placed on the first visit, to look at them together"
    )
    patient: str = option("", "code of the patient, if names do not tell that all visits are of one")


def run(config: FollowConfig) -> None:
    from voxmmsd.reporting.follow_up import followed
    from voxmmsd.reporting.follow_up_page import RECORD, write_follow_up
    from voxmmsd.reporting.registered_images import write_registered
    from voxmmsd.reporting.visits import read_visits, registered

    require(" ".join(config.visits), "VISITS")
    out = require(config.out, "--out DIR")
    if (out / RECORD).exists():
        raise InputError(f"{out / RECORD}: exists already", "nothing is overwritten, name another --out")
    visits = read_visits(
        [Path(one) for one in config.visits], images=config.case, days=config.days, patient=config.patient
    )
    ready = []
    for visit in registered(visits):
        if visit.registration:
            print(visit.registration, file=sys.stderr)
        ready.append(visit)
    found = followed(ready)
    if config.registered:
        for file in write_registered(found, out):
            print(file)
    for file in write_follow_up(found, out):
        print(file)


VERB = Verb("follow", "compare the visits of a patient, lesion by lesion", FollowConfig, run)
