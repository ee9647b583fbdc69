"""The patients that a model and all its ancestors were trained on.

Only this module decides whether a comparison is fair and whether a case is new to a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from voxmmsd.data.finding.naming import patient_of
from voxmmsd.models.package import ModelInfo, ModelPackage
from voxmmsd.models.provenance import INHERITED, LIBRARY
from voxmmsd.models.registry import find_record

BANK = "tumor_bank"  # part of the patients whose tumors were pasted into others
_WEIGHTS_FROM = ("train", "unlabelled", BANK)  # parts whose voxels shaped the weights
_CHOSEN_BY = "validation"


class Identified(Protocol):
    """A case by its id and its patient's."""

    @property
    def id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...


@dataclass(frozen=True)
class Learned:
    """Ids of cases and patients, in lower case. ``unknown``: ids of ancestors whose records could not be found."""

    cases: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()

    def holds(self, case: Identified) -> bool:
        """Whether the case itself, or another case of its patient, is among these."""
        patient = case.patient_id.casefold()
        return case.id.casefold() in self.cases or patient in self.patients or hashed_patient(patient) in self.patients

    def __or__(self, other: Learned) -> Learned:
        unknown = tuple(dict.fromkeys((*self.unknown, *other.unknown)))
        return Learned(self.cases | other.cases, self.patients | other.patients, unknown)

    def record(self) -> dict[str, list[str]]:
        """Plain values for ``model.json``, under ``INHERITED``."""
        return {"cases": sorted(self.cases), "patients": sorted(self.patients), "unknown": list(self.unknown)}


NOTHING = Learned()


def patient_for_record(case: Identified) -> str:
    """The name of a patient in a package, which may be shared: a hash if the case id does not contain the name.

    Lists of cases may name patients by the hospital's numbers, which case ids need not show.
    """
    patient = case.patient_id.casefold()
    return case.patient_id if patient in case.id.casefold() else hashed_patient(patient)


def hashed_patient(patient: str) -> str:
    """A patient's name, in lower case, as a package shows it that must not show names."""
    return "sha256:" + hashlib.sha256(patient.encode()).hexdigest()[:32]


def has_learned(package: ModelPackage, case: Identified) -> bool:
    """Whether the model or an ancestor was trained or selected on the patient of the case.

    The unknown counts as learned: if the record of an ancestor is missing, no case is new to the model.
    """
    return bool(reason_learned(package, case))


def reason_learned(package: ModelPackage, case: Identified) -> str:
    """Why ``has_learned`` is true, as a sentence; empty where it is false."""
    info = package.info
    if _of_parts(info, _WEIGHTS_FROM).holds(case):
        return f"{info.id} was trained on it"
    if _of_parts(info, _chosen_by(info)).holds(case):
        return f"{info.id} was selected by its score on it"
    return reason_inherited(info.id, inherited_by(info), case)


def reason_inherited(model_id: str, inherited: Learned, case: Identified) -> str:
    """As ``reason_learned``, for what the ancestors of a model learned from."""
    if inherited.holds(case):
        return f"a model that {model_id} was started from was trained on it"
    if inherited.unknown:
        return (
            f"{model_id} was started from {', '.join(inherited.unknown)}, and which patients that model was trained on "
            "is unknown; import it with `voxmmsd models import`"
        )
    return ""


def learned_by(info: ModelInfo) -> Learned:
    """All that a model and its ancestors learned from or were chosen by."""
    return _of_parts(info, (*_WEIGHTS_FROM, *_chosen_by(info))) | inherited_by(info)


def inherited_by(info: ModelInfo) -> Learned:
    """What a model's ancestors learned from: as its record says, else as the records of the ancestors say.

    Packages made before ancestors were recorded name their parent only, which is looked for among this user's models
    and runs.
    """
    recorded = info.provenance.inherited
    if recorded is not None:
        return Learned(_folded(recorded.cases), _folded(recorded.patients), recorded.unknown)
    found, parent, walked = NOTHING, info.parent, {info.id}
    while parent and parent not in walked:
        walked.add(parent)
        ancestor = find_record(parent)
        if ancestor is None:
            return found | Learned(unknown=(parent,))
        found |= _of_parts(ancestor, (*_WEIGHTS_FROM, *_chosen_by(ancestor)))
        if INHERITED in ancestor.training:
            return found | inherited_by(ancestor)
        parent = ancestor.parent
    return found


def in_part(info: ModelInfo, parts: Iterable[str], case: Identified) -> bool:
    """Whether the case's patient stood in one of these parts when the model itself was trained."""
    return _of_parts(info, parts).holds(case)


def _chosen_by(info: ModelInfo) -> tuple[str, ...]:
    """Held-out patients of a training library stand under validation, too, but nothing is chosen by them."""
    return () if LIBRARY in info.training else (_CHOSEN_BY,)


def _of_parts(info: ModelInfo, parts: Iterable[str]) -> Learned:
    """The patients as recorded; in older packages, which name cases only, as told from the case ids."""
    parts, known_of = tuple(parts), info.provenance
    named = known_of.ids("cases", parts)
    # Where patients are not recorded, a list of splits may have named them.
    known = known_of.ids("patients", parts) if known_of.patients else [*named, *map(patient_of, named)]
    return Learned(_folded(named), _folded(known))


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)
