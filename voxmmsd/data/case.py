"""A case: the images of one patient at one time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voxmmsd.data.finding.naming import patient_of
from voxmmsd.data.formats.sources import Source
from voxmmsd.errors import InputError
from voxmmsd.ids import safe_id
from voxmmsd.labels import MODALITIES, schema_named

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Case:
    """``modalities`` has those keys of MODALITIES that are present. ``schema`` names the LabelSchema of the labels,
    None if it cannot be determined. ``notes``: what is missing or doubtful, as text. ``undecided``: slot -> the images
    that fit it equally well, of which the first stands in ``modalities``. ``is_by_name``: only names tell which image
    is which, nobody said so."""

    id: str
    patient_id: str
    modalities: Mapping[str, Source]
    label: Source | None = None
    brain_mask: Source | None = None
    schema: str | None = None
    notes: tuple[str, ...] = ()
    undecided: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    is_by_name: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Missing modalities."""
        return tuple(name for name in MODALITIES if name not in self.modalities)

    def record(self) -> dict[str, Any]:
        """For programs."""
        sources = {**self.modalities, "label": self.label, "brain_mask": self.brain_mask}
        return {
            "id": self.id,
            "patient_id": self.patient_id,
            **{name: str(source.path) for name, source in sources.items() if source is not None},
            "schema": self.schema,
            "missing": list(self.missing),
            "undecided": {slot: [str(path) for path in images] for slot, images in self.undecided.items()},
            "notes": list(self.notes),
        }


def with_brain_mask(case: Case, mask: Source | None) -> Case:
    """The case with this mask, or none, whatever its folder holds: somebody has said which is meant."""
    undecided = {slot: images for slot, images in case.undecided.items() if slot != "brain_mask"}
    return replace(case, brain_mask=mask, undecided=undecided)


def case_from_files(
    case_id: str,
    *,
    t1n: PathLike | Source | None = None,
    t1c: PathLike | Source | None = None,
    t2w: PathLike | Source | None = None,
    t2f: PathLike | Source | None = None,
    label: PathLike | Source | None = None,
    brain_mask: PathLike | Source | None = None,
    schema: str | None = None,
) -> Case:
    """Create a case from individual files or folders of DICOM series.

    Raises:
        InputError: no modality, a missing file, or one file for two modalities.
        ConfigError: no such schema.
    """
    given = {"t1n": t1n, "t1c": t1c, "t2w": t2w, "t2f": t2f}
    modalities = {name: _source(value, name) for name, value in given.items() if value}
    if not modalities:
        raise InputError(f"case {case_id}: no modality given", f"give at least one of {', '.join(MODALITIES)}")
    _check_distinct(case_id, modalities)
    if schema:
        schema_named(schema)
    return Case(
        id=safe_id(case_id),
        patient_id=patient_of(safe_id(case_id)),
        modalities=modalities,
        label=_source(label, "label") if label else None,
        brain_mask=_source(brain_mask, "brain_mask") if brain_mask else None,
        schema=schema or None,
    )


def _source(value: PathLike | Source, name: str) -> Source:
    source = value if isinstance(value, Source) else Source(Path(value).expanduser())
    if source.image is None and not source.path.exists():
        raise InputError(f"{source.path}: no such file, given for {name}", "check the path")
    return source


def _check_distinct(case_id: str, modalities: Mapping[str, Source]) -> None:
    names = list(modalities)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if modalities[first] == modalities[second]:
                raise InputError(
                    f"case {case_id}: {modalities[first].path} is given for both {first} and {second}",
                    "give each its own image",
                )
