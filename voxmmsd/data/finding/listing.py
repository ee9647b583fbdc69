"""A list of cases written by the user: CSV or JSON, with paths relative to it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxmmsd.data.case import Case
from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.finding.naming import patient_of
from voxmmsd.data.formats.sources import Source
from voxmmsd.errors import InputError
from voxmmsd.files import parse_json, write_json_atomic, write_text_atomic
from voxmmsd.ids import safe_id
from voxmmsd.labels import MODALITIES

_COLUMNS = {
    "id": ("id", "case", "case_id", "name"),
    "patient_id": ("patient_id", "patient", "subject"),
    "t1n": ("t1n", "t1"),
    "t1c": ("t1c", "t1ce", "t1gd"),
    "t2w": ("t2w", "t2"),
    "t2f": ("t2f", "flair"),
    "label": ("label", "seg", "segmentation"),
    "brain_mask": ("brain_mask", "brainmask"),
    "schema": ("schema",),
}
_COLUMN_OF = {alias: name for name, aliases in _COLUMNS.items() for alias in aliases}


def listed_cases(file: Path) -> list[CaseDraft]:
    """The cases of a list.

    A CSV file (comma, semicolon or tab) has the columns id, t1n, t1c, t2w, t2f and, optionally, patient_id, label,
    brain_mask, schema; a JSON file is a list of objects with those keys, or has it under ``cases``. In JSON an image
    may be ``{"path": ..., "channel": 0}``.

    Raises:
        InputError: unreadable, a missing or duplicate id, one that is not a file name, or a case without a modality.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows, schema = _json_rows(text) if file.suffix.lower() == ".json" else (_csv_rows(text), None)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{file}: cannot be read as a list of cases ({error})", "see the columns id, t1n, t1c, t2w, t2f"
        ) from error
    drafts: dict[str, CaseDraft] = {}
    for number, row in enumerate(rows, start=1):
        draft = _draft(row, file, f"{file}, case {number}")
        draft.schema = draft.schema or schema
        if draft.id in drafts:
            raise InputError(f"{file}, case {number}: the id {draft.id} stands there twice", "give each case its own")
        drafts[draft.id] = draft
    return list(drafts.values())


def write_list(file: Path, cases: Sequence[Case]) -> None:
    """Write a list that ``listed_cases`` reads, with paths relative to it.

    Where several images fit a slot, all stand there, with ``|`` between: one must be left.

    Raises:
        InputError: the file exists, or its name tells no list, or CSV cannot say which volume or series is meant.
    """
    if file.suffix.lower() not in (".csv", ".json"):
        raise InputError(f"{file}: is not a name of a list of cases", "give one that ends in .csv or .json")
    if file.exists():
        raise InputError(f"{file}: exists already", "nothing is overwritten, name another file")
    as_json = file.suffix.lower() == ".json"
    rows = [_listed(case, file.absolute().parent, as_json) for case in cases]
    if as_json:
        write_json_atomic(file, {"cases": rows})
        return
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(_COLUMNS), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(file, stream.getvalue())


def _relative(image: Path, folder: Path) -> str:
    try:
        return os.path.relpath(image, folder)
    except ValueError:  # on another drive of Windows
        return str(image.absolute())


def _listed(case: Case, folder: Path, as_json: bool) -> dict[str, Any]:
    sources = {**case.modalities, "label": case.label, "brain_mask": case.brain_mask}
    row: dict[str, Any] = {"id": case.id, "patient_id": case.patient_id}
    for name, source in sources.items():
        if source is None:
            continue
        images = case.undecided.get(name, (source.path,))
        path = " | ".join(_relative(image, folder) for image in images)
        more = {"channel": source.channel, "series_uid": source.series_uid}
        said = {key: value for key, value in more.items() if value is not None}
        if said and not as_json:
            raise InputError(
                f"{source.path}: a CSV list cannot say which volume or series of it is meant", "write a .json list"
            )
        row[name] = {"path": path, **said} if said else path
    return {**row, "schema": case.schema} if case.schema else row


def _csv_rows(text: str) -> list[Mapping[str, Any]]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True))


def _json_rows(text: str) -> tuple[list[Mapping[str, Any]], str | None]:
    content = parse_json(text)
    rows = content.get("cases") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected a list of objects, or one under the key cases")
    schema = content.get("schema") if isinstance(content, dict) else None
    return [{**row, **_nested(row)} for row in rows], str(schema) if schema else None


def _nested(row: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = row.get("modalities")
    return nested if isinstance(nested, dict) else {}


def _draft(row: Mapping[str, Any], file: Path, where: str) -> CaseDraft:
    cells = {_COLUMN_OF[k.strip().lower()]: v for k, v in row.items() if k and k.strip().lower() in _COLUMN_OF and v}
    id_ = str(cells.get("id", "")).strip()
    if not id_ or safe_id(id_) != id_:
        raise InputError(f"{where}: its id is {id_!r}", "give an id of letters, digits, - and _")
    modalities = {name: _source(cells[name], file, where) for name in MODALITIES if name in cells}
    if not modalities:
        raise InputError(f"{where}: {id_} has no modality", f"fill at least one of the columns {', '.join(MODALITIES)}")
    draft = CaseDraft(id_, str(cells.get("patient_id") or patient_of(id_)), file.parent, file.parent, modalities)
    draft.label = _source(cells["label"], file, where) if "label" in cells else None
    draft.brain_mask = _source(cells["brain_mask"], file, where) if "brain_mask" in cells else None
    draft.schema = str(cells["schema"]).strip() if "schema" in cells else None
    every = {**modalities, "label": draft.label, "brain mask": draft.brain_mask}
    draft.notes += [f"{name}: no such file {s.path}" for name, s in every.items() if s and not s.path.exists()]
    return draft


def _source(value: Any, file: Path, where: str) -> Source:
    record = value if isinstance(value, dict) else {"path": value}
    path, channel = record.get("path"), record.get("channel")
    if not isinstance(path, str) or not (channel is None or isinstance(channel, int)):
        raise InputError(f"{where}: {value!r} is not an image", "give a path, or {'path': ..., 'channel': number}")
    return Source(file.parent / Path(path.strip()).expanduser(), channel, record.get("series_uid"))
