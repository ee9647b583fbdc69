"""Determine the label schema of a data set, from its metadata and the names of its cases.

The values in a file are never used. What names imply:

* BraTS 2017-2021 ids, or files ``ID_t1ce`` with ``ID_seg``: BraTS 2021 values (enhancing tumor is 4).
* ``BraTS-GLI-NNNNN-TTT``: time points from 100 on are the post-treatment scans of 2024, those below the
  pre-treatment scans of 2023. A data set with both has the values of 2024, where 1 to 3 have the same meaning.
* ``BraTS-PED``: the values of 2024; those of 2023 were like GLI, which is noted.
* ``BraTS-SSA``, ``-MEN``, ``-MET``, ``-GoAT``: the values of 2023.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.formats.sources import Source, stem_of
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.files import read_json
from voxmmsd.labels import SCHEMAS, schema_named

_BEFORE_2023 = re.compile(r"(?:BraTS2021|BraTS20|Brats1[789])_.+", re.IGNORECASE)
_SINCE_2023 = re.compile(r"BraTS-([A-Z]+)-\d+(?:-(\d+))?", re.IGNORECASE)
_POST_TREATMENT = 100
_LIKE_GLI_2023 = ("SSA", "MEN", "MET", "GOAT")
_PED_NOTE = "labels taken as BraTS-PED 2024's (1 ET, 2 NET, 3 CC, 4 ED); the release of 2023 is --schema brats-gli-2023"
_MIXED_NOTE = (
    "its data set has pre- and post-treatment time points: labels taken as brats-gli-2024's, whose 1 to 3 are 2023's"
)
_UNKNOWN_NOTE = f"its label schema cannot be determined: name it with --schema ({', '.join(SCHEMAS)})"


def give_schemas(drafts: list[CaseDraft], root: Path, schema: str | None) -> None:
    """Set the schema of each case: ``schema``, else its own, else from the nearest ``dataset.json``, else by names.

    A labeled case with an unknown schema gets a note. So does one whose ``dataset.json`` cannot be read, since the next
    rule might give its labels another meaning.

    Raises:
        InputError: a ``dataset.json`` or a list names a schema that does not exist.
    """
    declared: dict[Path, str | None] = {}
    datasets: dict[Path, list[CaseDraft]] = defaultdict(list)
    for draft in drafts:
        datasets[draft.dataset].append(draft)
    for members in datasets.values():
        time_points = _gli_time_points(members)
        for draft in members:
            try:
                draft.schema = schema or draft.schema or _declared(draft.place, root, declared)
            except InputError as error:
                draft.notes += [str(error)] if draft.label else []
                continue
            _check(draft)
            if draft.schema is None:
                _by_names(draft, time_points)


def _check(draft: CaseDraft) -> None:
    if draft.schema is None:
        return
    try:
        schema_named(draft.schema)
    except ConfigError as error:
        raise InputError(
            f"{draft.place}: case {draft.id} is given the label schema {draft.schema!r}, which does not exist",
            error.remedy,
        ) from None


def _declared(place: Path, root: Path, known: dict[Path, str | None]) -> str | None:
    """``schema`` of the nearest ``dataset.json`` between a case's folder and the one above ``root``.

    Raises:
        InputError: it exists and cannot be read.
    """
    if place not in known:
        record = _dataset_record(place / "dataset.json")
        schema = record.get("schema") if isinstance(record, dict) else None
        above = place.parent
        inside = place not in (root.parent, above)
        known[place] = str(schema) if schema else _declared(above, root, known) if inside else None
    return known[place]


def _dataset_record(file: Path) -> Any:
    try:
        return read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}), so the label schema of its cases cannot be determined",
            "correct or remove it, or name the schema with --schema",
        ) from error


def _gli_time_points(members: Iterable[CaseDraft]) -> set[bool]:
    """For the GLI cases of a data set: whether each is post-treatment."""
    found = [match for draft in members if (match := _SINCE_2023.fullmatch(draft.id)) and match[1].upper() == "GLI"]
    return {int(match[2]) >= _POST_TREATMENT for match in found if match[2]}


def _by_names(draft: CaseDraft, time_points: set[bool]) -> None:
    since = _SINCE_2023.fullmatch(draft.id)
    family = since[1].upper() if since else ""
    note = ""
    if _BEFORE_2023.fullmatch(draft.id) or (_ends(draft.modalities.get("t1c"), "_t1ce") and _ends(draft.label, "_seg")):
        draft.schema = "brats-2021"
    elif family == "GLI" and time_points:
        draft.schema = "brats-gli-2024" if True in time_points else "brats-gli-2023"
        note = _MIXED_NOTE if len(time_points) > 1 else ""
    elif family in _LIKE_GLI_2023:
        draft.schema = "brats-gli-2023"
    elif family == "PED":
        draft.schema, note = "brats-ped-2024", _PED_NOTE
    else:
        note = "" if any("--schema" in n for n in draft.notes) else _UNKNOWN_NOTE
    if note and draft.label:
        draft.notes.append(note)


def _ends(source: Source | None, ending: str) -> bool:
    return source is not None and stem_of(source.path.name).lower().endswith(ending)
