"""Training, validation and test patients: fixed in a file, split by patient, without duplicate images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from voxmmsd.errors import InputError
from voxmmsd.files import read_json, write_json_atomic

PARTS = ("train", "validation", "test", "unlabeled")
ABOUT = "about"  # key of a remark, which may stand beside the parts
_MUST_BE_THERE = ("train", "validation", "test")
_SYNONYMS = {"pool": "train", "training": "train", "val": "validation", "unlabelled": "unlabeled"}


class Splittable(Protocol):
    """The properties of a case that a split uses."""

    @property
    def id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def image_hash(self) -> str: ...


@dataclass(frozen=True)
class Splits:
    """Case ids per part."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    unlabeled: tuple[str, ...] = ()

    def write(self, file: Path) -> None:
        write_json_atomic(file, {part: list(getattr(self, part)) for part in PARTS})


def read_splits(
    file: Path,
    entries: Sequence[Splittable],
    say: Callable[[str], None] = lambda _: None,
    must_be_there: Sequence[str] = _MUST_BE_THERE,
) -> Splits:
    """The parts of a JSON file (``train`` or ``pool``, ``validation``, ``test``, ``unlabeled``: case or patient ids).

    Entries in no part are omitted. Ids that are not among ``entries`` are an error in the parts ``must_be_there``; for
    other parts, ``say`` is called with a message that names them.

    Raises:
        InputError: the file is unreadable, has other keys than the parts and ``about``, lists ids that are not there,
            or a patient or an image would be in two parts.
    """
    listed = _listed(file)
    known = {name for entry in entries for name in (entry.id, entry.patient_id)}
    for part, ids in listed.items():
        if not (unknown := [id_ for id_ in ids if id_ not in known]):
            continue
        named = f"{', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}"
        if part in must_be_there:
            raise InputError(
                f"{file}: {part} lists {named}, no case or patient of the given cases ({len(unknown)} of {len(ids)} "
                "ids)",
                "correct the spelling, add the folder that holds them, or remove them from the file",
            )
        say(f"{file}: {len(unknown)} of {len(ids)} ids of {part} are not among the given cases: {named}")
    parts = {
        part: tuple(e.id for e in entries if e.id in listed.get(part, ()) or e.patient_id in listed.get(part, ()))
        for part in PARTS
    }
    splits = Splits(**parts)
    check_splits(splits, entries, str(file))
    return splits


def _listed(file: Path) -> dict[str, list[str]]:
    """Part -> ids, without synonyms."""
    try:
        record = dict(read_json(file))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: cannot be read as splits ({error})", f"give JSON with the lists {', '.join(PARTS)}"
        ) from error
    listed: dict[str, list[str]] = {}
    for key, ids in record.items():
        if key == ABOUT:
            continue
        part = _SYNONYMS.get(key, key)
        if part not in PARTS:
            known = ", ".join((*PARTS, *_SYNONYMS, ABOUT))
            raise InputError(f"{file}: {key!r} is not a part of the splits", f"use one of {known}")
        if part in listed:
            raise InputError(f"{file}: {key!r} is a second list for {part}", "put both into one list")
        if not isinstance(ids, list):
            raise InputError(
                f"{file}: {key!r} must be a list of case or patient ids, not {type(ids).__name__}",
                "put them into brackets",
            )
        listed[part] = list(dict.fromkeys(map(str, ids)))
    return listed


def make_splits(entries: Sequence[Splittable], seed: int, validation_share: float = 0.2) -> Splits:
    """Draw patients for validation (at least one); the others are for training.

    Raises:
        InputError: fewer than two patients.
    """
    groups = _groups(entries)
    if len(groups) < 2:
        raise InputError(
            f"{len(entries)} labeled case(s) of {len(groups)} patient(s): training with validation needs two "
            "patients at least",
            "add cases",
        )
    order = np.random.default_rng([seed, 0x5B117]).permutation(len(groups))
    held = set(order[: max(1, round(validation_share * len(groups)))].tolist())
    train = [e.id for i, group in enumerate(groups) if i not in held for e in group]
    validation = [e.id for i, group in enumerate(groups) if i in held for e in group]
    return Splits(tuple(train), tuple(validation))


def check_splits(splits: Splits, entries: Iterable[Splittable], where: str) -> None:
    """Raise InputError if a patient, or an image under two names, is in two parts."""
    part_of = {id_: part for part in PARTS for id_ in getattr(splits, part)}
    listed = [id_ for part in PARTS for id_ in getattr(splits, part)]
    if duplicates := sorted({id_ for id_ in listed if listed.count(id_) > 1}):
        raise InputError(f"{where}: {', '.join(duplicates)} is in two splits", "name each case in one")
    for what in ("patient_id", "image_hash"):
        holders = defaultdict(list)
        for entry in entries:
            if entry.id in part_of:
                holders[getattr(entry, what)].append(entry.id)
        for ids in holders.values():
            if len({part_of[id_] for id_ in ids}) > 1:
                kind = "one patient" if what == "patient_id" else "the same image"
                placed = ", ".join(f"{id_} ({part_of[id_]})" for id_ in ids)
                raise InputError(f"{where}: {placed} are {kind} in different parts", "put them in one part")


def _groups(entries: Sequence[Splittable]) -> list[list[Splittable]]:
    """Cases that must stay together: of one patient, or of the same image."""
    group_of: dict[str, list[Splittable]] = {}
    for entry in entries:
        keys = (f"patient {entry.patient_id}", f"image {entry.image_hash}")
        found = [group_of[key] for key in keys if key in group_of]
        group = found[0] if found else []
        for other in found[1:]:
            if other is not group:
                group.extend(other)
                for key, value in group_of.items():
                    if value is other:
                        group_of[key] = group
        group.append(entry)
        for key in keys:
            group_of[key] = group
    unique: list[list[Splittable]] = []
    for group in group_of.values():
        if not any(group is seen for seen in unique):
            unique.append(group)
    return unique
