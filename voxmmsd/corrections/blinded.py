"""Blinded comparison of two segmentations of a case, for models without enough fair held-out cases.

::

    blinded/0001/pair.json               the case, when
    blinded/0001/first.nii.gz, second.nii.gz
    blinded/0001/sealed.json             which model made which: read when the choice is written, not before
    blinded/0001/choice.json             the choice, once and for good
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from voxmmsd.clock import now
from voxmmsd.config import ANSWERS
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, LibraryError
from voxmmsd.files import read_json, write_json_atomic
from voxmmsd.labels import schema_named, values_from_indices
from voxmmsd.library.folder import Library
from voxmmsd.library.label_files import on_grid_of_case
from voxmmsd.library.lock import writing

FIRST, SECOND, EQUAL = ANSWERS
ENOUGH = 0.05


@dataclass(frozen=True)
class Pair:
    """``choice``: first, second, equal, or empty while nobody chose; ``chosen``: the model behind it, once one did."""

    number: str
    case_id: str
    schema: str
    folder: Path
    models: frozenset[str]
    choice: str = ""
    chosen: str = ""

    @property
    def first(self) -> Path:
        return self.folder / "first.nii.gz"

    @property
    def second(self) -> Path:
        return self.folder / "second.nii.gz"


@dataclass(frozen=True)
class Tally:
    """How often each of two models was chosen; ``text`` in plain words."""

    old: int
    new: int
    equal: int
    open: int
    text: str


class SameLabelsError(LibraryError):
    """Two models say the same of a case, so there is nothing to choose."""


def offer_pair(library: Library, case_id: str, said: dict[str, Volume], schema: str) -> Pair:
    """Store the segmentations of a case by two models, in random order.

    ``said``: model id -> class indices ``(z, y, x)`` of ``schema`` on the grid of one of the case's images.

    Raises:
        LibraryError: not two models, no such case, labels that do not fit it, the two say the same, or they were
            compared on this case before.
    """
    if len(said) != 2:
        raise LibraryError(f"a pair needs two models, {', '.join(said) or 'none'} given", "name two different models")
    case, meaning = library.case(case_id), schema_named(schema)
    labels = {model: on_grid_of_case(case, label, schema) for model, label in said.items()}
    one, other = labels.values()
    if one.grid.same_as(other.grid) and (one.array == other.array).all():
        raise SameLabelsError(f"case {case_id}: both models give the same labels", "choose another case")
    if any(pair.case_id == case_id and pair.models == frozenset(said) for pair in pairs(library)):
        raise LibraryError(f"case {case_id}: these two models were compared on it already", "choose another case")
    models = sorted(said)
    if secrets.randbelow(2):
        models.reverse()
    with writing(library.folder):
        folder = _new_folder(library.folder / "blinded")
        for name, model in zip((FIRST, SECOND), models, strict=True):
            write_nifti(
                folder / f"{name}.nii.gz", values_from_indices(labels[model].array, meaning), labels[model].grid
            )
        write_json_atomic(folder / "sealed.json", dict(zip((FIRST, SECOND), models, strict=True)))
        write_json_atomic(folder / "pair.json", {"format": 1, "case": case_id, "schema": schema, "time": now()})
    return _read_pair(folder)


def choose(library: Library, number: str, better: str) -> Pair:
    """Save a choice and unblind it; returns the pair with the chosen model.

    Raises:
        ConfigError: no such answer.
        LibraryError: no such pair, or it was chosen already.
    """
    if better not in ANSWERS:
        raise ConfigError(f"unknown answer {better!r}", f"choose one of {', '.join(ANSWERS)}")
    pair = next((pair for pair in pairs(library) if pair.number == number), None)
    if pair is None:
        raise LibraryError(f"{library.folder}: has no pair {number!r}", "`voxmmsd library blind` makes one")
    with writing(library.folder):
        if (pair.folder / "choice.json").exists():
            raise LibraryError(
                f"pair {number}: was chosen already, and a choice is final",
                "make another pair with `voxmmsd library blind`",
            )
        write_json_atomic(pair.folder / "choice.json", {"format": 1, "better": better, "time": now()})
    return _read_pair(pair.folder)


def pairs(library: Library) -> tuple[Pair, ...]:
    """All pairs, oldest first.

    Raises:
        LibraryError: a record of one is damaged.
    """
    return tuple(_read_pair(file.parent) for file in sorted((library.folder / "blinded").glob("[0-9]*/pair.json")))


def tally(library: Library, old: str, new: str) -> Tally:
    """The choices between two models, and their significance (two-sided binomial test without ties)."""
    mine = [pair for pair in pairs(library) if pair.models == {old, new}]
    chosen = [pair.chosen for pair in mine]
    wins, losses = chosen.count(new), chosen.count(old)
    waiting = sum(not pair.choice for pair in mine)
    equal = len(mine) - wins - losses - waiting
    if not wins + losses:
        text = "no choice yet"
    else:
        probability = stats.binomtest(wins, wins + losses).pvalue
        certainty = "statistically significant" if probability < ENOUGH else "too few to be sure"
        text = f"the new model was chosen in {wins} of {wins + losses} unnamed comparisons, {equal} equal; {certainty}"
    return Tally(losses, wins, equal, waiting, text)


def _new_folder(place: Path) -> Path:
    number = max((int(folder.name) for folder in place.glob("[0-9]*")), default=0) + 1
    folder = place / f"{number:04d}"
    folder.mkdir(parents=True)
    return folder


def _read_pair(folder: Path) -> Pair:
    try:
        about, sealed = (_loaded(folder / name) for name in ("pair.json", "sealed.json"))
        choice = _loaded(folder / "choice.json") if (folder / "choice.json").is_file() else {}
        better = str(choice.get("better", ""))
        models = frozenset((sealed[FIRST], sealed[SECOND]))
        return Pair(folder.name, about["case"], about["schema"], folder, models, better, sealed.get(better, ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LibraryError(f"{folder}: is not a complete pair ({error!r})", "move it out of the library") from error


def _loaded(file: Path) -> dict[str, Any]:
    return dict(read_json(file))
