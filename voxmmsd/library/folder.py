"""The training library: a folder of cases and all their labels. Append-only; no file is ever rewritten.

::

    library.json                       format, share of held-out patients
    cases/ID/case.json                 patient (a code), part, hashes; written once
    cases/ID/images/t1c.nii.gz ...     skull-stripped images
    cases/ID/labels/0001-predicted.nii.gz, 0001-predicted.json, 0002-corrected.nii.gz, 0002-corrected.json ...
    cases/ID/labels/0002-corrected_origin.nii.gz     who decided each voxel, where that is known

The record of a label is written after its voxels, under a new number: if the record exists, the label is complete.
There is one record per label and no list of labels in ``case.json``, so nothing is rewritten, and neither a crash nor a
second writer can lose anything (``docs/design.md``). All names are relative: the folder may be moved.
"""

from __future__ import annotations

import os
import re
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxmmsd.clock import now
from voxmmsd.data.case import Case
from voxmmsd.data.finding.naming import patient_of
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.label_maps import read_label, volumes_ml
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, LibraryError
from voxmmsd.files import FOLDER_SECONDS, retry_while_locked, sha256_of, write_json_atomic
from voxmmsd.ids import safe_id
from voxmmsd.labels import schema_named, values_from_indices
from voxmmsd.library.changes import changed_voxels
from voxmmsd.library.images import brain_only, image_hash, storable
from voxmmsd.library.label_files import on_grid_of_case, origins_on, reserved, voxel_counts
from voxmmsd.library.lock import writing
from voxmmsd.library.parts import drawn_part
from voxmmsd.library.reading import CASE_RECORD, RECORD, About, LibraryRecords
from voxmmsd.library.records import (
    CORRECTED,
    EXPERT,
    PARTS,
    PREDICTED,
    CaseRecord,
    LabelKind,
    LabelVersion,
    LibraryCase,
    Origins,
    Part,
    to_record,
)

HOLD_OUT_SHARE = 0.2
_MAX_ID = 64


def create_library(folder: Path, hold_out_share: float = HOLD_OUT_SHARE, seed: int | None = None) -> Library:
    """Create an empty library. ``hold_out_share``: fraction of held-out patients unless given, drawn with ``seed``.

    Raises:
        ConfigError: a share outside 0 to 0.5.
        LibraryError: the folder is not empty.
    """
    if not 0 <= hold_out_share <= 0.5:
        raise ConfigError(f"a hold-out share of {hold_out_share:g} is out of range", "give 0 to 0.5, such as 0.2")
    _refuse_full(folder)
    (folder / "cases").mkdir(parents=True, exist_ok=True)
    about = About(str(uuid.uuid4()), now(), hold_out_share, secrets.randbelow(2**31) if seed is None else seed)
    with writing(folder):
        _refuse_full(folder)  # another process may have been faster
        write_json_atomic(folder / RECORD, to_record(about))
    return Library(folder)


def _refuse_full(folder: Path) -> None:
    if folder.exists() and not all(_is_left_by_a_kill(item) for item in folder.iterdir()):
        raise LibraryError(f"{folder}: is not empty", "name a new folder for the training library")


def _is_left_by_a_kill(item: Path) -> bool:
    """Of this very step: a lock, a file written aside, ``cases`` without any."""
    aside = item.name == ".lock" or item.name.startswith(f".{Path(RECORD).stem}.")
    return aside or (item.name == "cases" and item.is_dir() and not any(item.iterdir()))


def open_library(folder: Path) -> Library:
    """Raises LibraryError: the folder is not a training library, or its record is damaged."""
    return Library(folder)


class Library(LibraryRecords):
    """An open library. Its only state is the folder: additions by others are seen at the next call."""

    def add_case(
        self,
        case_id: str,
        images: Mapping[str, Volume],
        *,
        patient: str = "",
        brain_mask: Volume | None = None,
        part: str = "",
    ) -> LibraryCase:
        """Add a case; an existing case with the same images is returned unchanged.

        ``images``: modality -> ``(z, y, x)`` on its grid, for those MODALITIES that the case has. ``case_id`` and
        ``patient`` (default: derived from the id) are codes. ``part``: ``training`` or ``hold-out``; by default the
        part of the patient, or drawn for a new patient.

        Raises:
            LibraryError: an id that is not a code or has other images, images that exist under another id, a head
                without brain mask, a part that differs from that of the case or the patient, or a folder that cannot be
                written.
        """
        check_code(case_id, "case id")
        patient = patient or patient_of(case_id)
        check_code(patient, "patient")
        if part and part not in PARTS:
            raise ConfigError(f"case {case_id}: unknown part {part!r}", f"choose one of {', '.join(PARTS)}")
        kept = brain_only(case_id, images, brain_mask)
        content = image_hash(kept)
        with writing(self.folder):
            known = [case.entry for case in self.cases()]
            if self._is_there(case_id, content, known):
                case = self.case(case_id)
                if part and part != case.part:
                    raise LibraryError(
                        f"case {case_id}: is in the {case.part} part since it entered, and stays there",
                        "leave out the part",
                    )
                return case
            chosen, drawn = self._part(case_id, patient, part, known)
            return self._write_case(case_id, patient, chosen, drawn, kept, content)

    def add_prediction(
        self,
        case_id: str,
        label: Volume,
        schema: str,
        model: str,
        review: Sequence[Mapping[str, Any]] = (),
    ) -> LabelVersion:
        """Append the output of a model, not reviewed by a person.

        ``label``: class indices ``(z, y, x)`` of ``schema`` on the grid of one of the case's images. ``model``: its id.
        ``review``: uncertain regions, as in the record of a result or ``UncertainRegion.record()``.

        Raises:
            LibraryError: no such case, a label on another grid or of other classes, or a folder that cannot be written.
            ConfigError: no such schema.
        """
        return self._append(case_id, PREDICTED, label, schema, model=model, drawn_over=(model,), review=tuple(review))

    def accept(
        self,
        case_id: str,
        label: Volume,
        schema: str,
        *,
        drawn_over: Iterable[str] | None = None,
        origins: Volume | None = None,
    ) -> LabelVersion:
        """Append a label approved by an expert; training uses the newest of these.

        ``label`` as in ``add_prediction``. ``drawn_over``: ids of the models whose output the expert started from,
        empty for none; by default those that the newest accepted label was drawn on and the models of all predictions
        since, of which any may have been corrected. ``origins``: who decided each voxel, on the label's grid: 0 a
        model, 1 edited by hand, 2 carried by refine.

        Raises: as ``add_prediction``.
        """
        if drawn_over is None:
            drawn_over = _known_below(self.case(case_id))
        below = tuple(dict.fromkeys(drawn_over))
        return self._append(case_id, CORRECTED if below else EXPERT, label, schema, origins, drawn_over=below)

    def accept_file(
        self,
        case_id: str,
        file: Path,
        schema: str = "",
        *,
        drawn_over: Iterable[str] | None = None,
        origins: Path | None = None,
    ) -> LabelVersion:
        """Like ``accept``, for a label map with the values of ``schema`` (default: that of the newest label).

        Raises: as ``accept``, and InputError for a file that cannot be read or has values its schema does not have.
        """
        newest = self.case(case_id).newest
        name = schema or (newest.schema if newest else "")
        if not name:
            raise LibraryError(f"{file}: its label schema cannot be determined", "name it with --schema")
        label = read_label(Source(Path(file)), schema_named(name))
        who = read_volume(Source(Path(origins))) if origins else None
        return self.accept(case_id, label, name, drawn_over=drawn_over, origins=who)

    def read_label(self, case: LibraryCase, label: LabelVersion) -> Volume:
        """Read a label as class indices ``(z, y, x)`` uint8 of its schema.

        Raises:
            LibraryError: its file does not match its checksum.
            InputError: it cannot be read.
        """
        file = case.label_file(label)
        if not file.is_file() or sha256_of(file) != label.sha256:
            raise LibraryError(f"{file}: is missing or was changed after it was accepted", "restore it from a backup")
        return read_label(Source(file), schema_named(label.schema))

    def as_case(self, case: LibraryCase, label: LabelVersion | None = None) -> Case:
        """The case as a ``Case`` with ``label``; its images are skull-stripped."""
        return Case(
            id=case.id,
            patient_id=case.patient,
            modalities={name: Source(case.image_file(name)) for name in case.modalities},
            label=Source(case.label_file(label)) if label else None,
            schema=label.schema if label else None,
        )

    def _is_there(self, case_id: str, content: str, known: Sequence[CaseRecord]) -> bool:
        for entry in known:
            if entry.id.casefold() == case_id.casefold():
                if entry.image_hash == content and entry.id == case_id:
                    return True
                raise LibraryError(
                    f"{self.folder}: case {entry.id} already exists with other images",
                    "nothing is overwritten, give the new case another id",
                )
            if entry.image_hash == content:
                raise LibraryError(
                    f"{self.folder}: the images of {case_id} are already in the library as case {entry.id}",
                    "leave this case out, or give it the same id",
                )
        return False

    def _part(self, case_id: str, patient: str, part: str, known: Sequence[CaseRecord]) -> tuple[Part, bool]:
        own = next((entry for entry in known if entry.patient.casefold() == patient.casefold()), None)
        if own is None:
            return (Part(part), False) if part else (drawn_part(known, self.hold_out_share, self._about.seed), True)
        if part and part != own.part:
            raise LibraryError(
                f"case {case_id}: its patient {patient} is in the {own.part} part (since case {own.id} entered) and "
                "stays there",
                "leave out the part",
            )
        return own.part, own.drawn

    def _write_case(
        self, case_id: str, patient: str, part: Part, drawn: bool, images: Mapping[str, Volume], content: str
    ) -> LibraryCase:
        place = self.folder / "cases" / case_id
        aside = place.with_name(f".{case_id}.{os.getpid()}.tmp")
        for name, volume in images.items():
            write_nifti(aside / "images" / f"{name}.nii.gz", storable(volume.array), volume.grid)
        (aside / "labels").mkdir()
        entry = CaseRecord(
            id=case_id,
            patient=patient,
            part=part,
            drawn=drawn,
            entered=now(),
            images={name: sha256_of(aside / "images" / f"{name}.nii.gz") for name in images},
            image_hash=content,
            grids={name: volume.grid for name, volume in images.items()},
        )
        write_json_atomic(aside / CASE_RECORD, to_record(entry))
        retry_while_locked(lambda: aside.rename(place), FOLDER_SECONDS)  # of a folder: fails where another one is
        return LibraryCase(place, entry, ())

    def _append(
        self, case_id: str, kind: LabelKind, label: Volume, schema: str, origins: Volume | None = None, **details: Any
    ) -> LabelVersion:
        case = self.case(case_id)
        meaning = schema_named(schema)
        label = on_grid_of_case(case, label, schema)
        who = origins_on(label, case, origins) if origins is not None else None
        known = {"kind": kind, "schema": schema, "time": now(), **details}
        known["volumes_ml"] = {key: round(ml, 4) for key, ml in volumes_ml(label.array, meaning, label.grid).items()}
        base = case.prediction or case.accepted
        if kind != PREDICTED and base is not None:
            before = self.read_label(case, base)
            known["compared_to"] = base.number
            known["changed_voxels"] = changed_voxels(before, schema_named(base.schema), label, meaning)
        with writing(self.folder):
            number, file = reserved(case.folder / "labels", kind)
            write_nifti(file, values_from_indices(label.array, meaning), label.grid)
            if who is not None:
                beside = file.with_name(file.name.replace(".nii.gz", "_origin.nii.gz"))
                write_nifti(beside, who.array, who.grid)
                known["origins"] = Origins(sha256_of(beside), voxel_counts(who))
            version = LabelVersion(number=number, sha256=sha256_of(file), **known)
            write_json_atomic(case.folder / "labels" / f"{version.stem}.json", to_record(version))
        return version


def check_code(code: str, what: str) -> None:
    """A name has no digit; what has one, is short and is a file's name may well be a code."""
    if safe_id(code) != code or len(code) > _MAX_ID or not re.search(r"\d", code) or not code.isascii():
        raise LibraryError(
            f"{what} {code!r}: must be a code, not a name",
            "give letters, digits, - and _, at least one digit, such as site1-007",
        )


def _known_below(case: LibraryCase) -> list[str]:
    """Models whose output the next correction may be drawn on, as far as the library knows."""
    accepted = case.accepted
    if accepted is None:
        return [label.model for label in case.labels]
    return [*accepted.drawn_over, *(label.model for label in case.labels if label.number > accepted.number)]
