"""Which patients train, validate and test: fixed in a file, by patient, no image twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from voxmmsd.errors import InputError
from voxmmsd.files import read_json, write_json_atomic

PARTS = ("train", "validation", "test", "unlabelled")
_SYNONYMS = {"pool": "train", "training": "train", "val": "validation"}


class Splittable(Protocol):
    """What a split needs to know of a case."""

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
    unlabelled: tuple[str, ...] = ()

    def write(self, file: Path) -> None:
        write_json_atomic(file, {part: list(getattr(self, part)) for part in PARTS})


def read_splits(file: Path, entries: Sequence[Splittable]) -> Splits:
    """The parts of a JSON file (``train`` or ``pool``, ``validation``, ``test``, ``unlabelled``: case or patient ids).

    Listed cases that are not among ``entries`` are left out, as are entries in no part.

    Raises:
        InputError: the file is unreadable, or a patient or an image would be in two parts.
    """
    try:
        record = read_json(file)
        listed = {
            _SYNONYMS.get(key, key): set(map(str, value)) for key, value in record.items() if isinstance(value, list)
        }
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: cannot be read as splits ({error}); expected JSON with the lists {PARTS}") from error
    parts = {
        part: tuple(e.id for e in entries if e.id in listed.get(part, ()) or e.patient_id in listed.get(part, ()))
        for part in PARTS
    }
    splits = Splits(**parts)
    check_splits(splits, entries, str(file))
    return splits


def make_splits(entries: Sequence[Splittable], seed: int, validation_share: float = 0.2) -> Splits:
    """Draw whole patients for validation (at least one), the rest trains.

    Raises:
        InputError: fewer than two patients.
    """
    groups = _groups(entries)
    if len(groups) < 2:
        raise InputError(
            f"{len(entries)} labelled case(s) of {len(groups)} patient(s): training with validation needs two patients "
            "at least; add cases"
        )
    order = np.random.default_rng([seed, 0x5B117]).permutation(len(groups))
    held = set(order[: max(1, round(validation_share * len(groups)))].tolist())
    train = [e.id for i, group in enumerate(groups) if i not in held for e in group]
    validation = [e.id for i, group in enumerate(groups) if i in held for e in group]
    return Splits(tuple(train), tuple(validation))


def check_splits(splits: Splits, entries: Iterable[Splittable], where: str) -> None:
    """Raise InputError where one patient, or one image under two names, is in two parts."""
    part_of = {id_: part for part in PARTS for id_ in getattr(splits, part)}
    listed = [id_ for part in PARTS for id_ in getattr(splits, part)]
    if doubled := sorted({id_ for id_ in listed if listed.count(id_) > 1}):
        raise InputError(f"{where}: {', '.join(doubled)} stands in two parts; name each case in one")
    for what in ("patient_id", "image_hash"):
        holders = defaultdict(list)
        for entry in entries:
            if entry.id in part_of:
                holders[getattr(entry, what)].append(entry.id)
        for ids in holders.values():
            if len({part_of[id_] for id_ in ids}) > 1:
                kind = "one patient" if what == "patient_id" else "the same image"
                placed = ", ".join(f"{id_} ({part_of[id_]})" for id_ in ids)
                raise InputError(f"{where}: {placed} are {kind} in different parts; put them in one part")


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
