"""Add cases, expert labels and results of ``segment`` and ``refine`` from a folder to the library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voxmmsd.data.case import Case
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.label_maps import read_label, read_values
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError, LibraryError, VoxMMSDError
from voxmmsd.failures import failure_of_case
from voxmmsd.files import sha256_of
from voxmmsd.labels import schema_named
from voxmmsd.library.folder import Library, check_code
from voxmmsd.library.images import brain_only, image_hash
from voxmmsd.library.label_files import on_grid_of_case
from voxmmsd.library.records import EXPERT, LabelVersion, LibraryCase
from voxmmsd.records.result import ENDING, Refinement, ResultRecord, read_result_record


@dataclass
class Added:
    """What was added: text lines, and ``failures``: ids with the reason."""

    lines: list[str] = field(default_factory=list)
    failures: list[tuple[str, VoxMMSDError]] = field(default_factory=list)


def add_folder(library: Library, folder: Path, *, schema: str = "", part: str = "", prefix: str = "") -> Added:
    """Add the cases of a folder with their labels, as expert labels, then the results in it.

    A result of ``segment`` is a prediction; one of ``refine`` is accepted, as a correction of it, after that. Existing
    cases and labels are skipped, so a folder can be added again as it grows. A case that cannot be added is reported
    and does not stop the others. ``prefix``: cases get the ids PREFIX-001, PREFIX-002, ... instead of their names, and
    so do results of cases in the same folder. A case that was added before keeps its number. Cases of one patient are
    of one patient in the library too, whose code is that of the first. A later call tells whose visit it adds where the
    folder holds another one that the library has.

    Raises:
        InputError: no such folder, or neither cases nor results in it.
    """
    found, added = find_cases(folder, schema or None), Added()
    results = sorted(folder.rglob(f"*{ENDING}"), key=_round_of) if folder.is_dir() else []
    if not found.cases and not results:
        if found.unread:
            found.refuse_none()
        raise InputError(f"{folder}: holds neither cases nor results", f"`voxmmsd cases {folder}` says what was found")
    added.lines += [found.unread_remark] if found.unread else []
    codes: dict[str, str] = {}
    patients = _known_patients(library, found.cases) if prefix else {}
    for case in found.cases:
        case_id = case.id
        try:
            images, mask = _read(case)
            case_id = _code_of(library, case_id, images, mask, prefix) if prefix else case_id
            patient = patients.setdefault(case.patient_id.casefold(), case_id) if prefix else case.patient_id
            added.lines += _add_images(library, case_id, images, mask, patient, part)
            codes[case.id] = case_id
            added.lines += _add_label(library, case, case_id)
        except Exception as error:
            added.failures.append((case_id, failure_of_case(error)))
    for file in results:
        name = file.name.removesuffix(ENDING)
        case_id = codes.get(name, name)
        try:
            if name in codes:
                _refuse_moved(file, case_id)
            added.lines += _add_result(library, case_id, file)
        except Exception as error:
            added.failures.append((case_id, failure_of_case(error)))
    return added


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case: images by modality, and what is known of it.

    ``result``: the record of its segmentation. ``origins``: who decided each voxel of the label.
    ``drawn_over``: ids of the models whose output the label started from, empty for none, None where the library is to
    tell.
    """

    images: Mapping[str, Path]
    brain_mask: Path | None = None
    result: Path | None = None
    label: Path | None = None
    origins: Path | None = None
    drawn_over: tuple[str, ...] | None = None


def add_one(library: Library, case_id: str, files: CaseFiles, *, part: str = "", schema: str = "") -> list[str]:
    """Add a case image by image, with an optional prediction and corrected label; returns text lines.

    Raises:
        LibraryError: an id that is not a code, or an error of ``Library``.
        InputError: a file that cannot be read.
    """
    check_code(case_id, "case id (--case)")
    known = {entry.id for entry in library.cases()}
    volumes = {name: read_volume(Source(file)) for name, file in files.images.items()}
    mask = read_volume(Source(files.brain_mask)) if files.brain_mask else None
    entry = library.add_case(case_id, volumes, brain_mask=mask, part=part)
    lines = [] if case_id in known else [f"{case_id}: added ({entry.part}; {', '.join(entry.modalities)})"]
    if files.result:
        lines += _add_result(library, case_id, files.result)
    if files.label:
        version = library.accept_file(case_id, files.label, schema, drawn_over=files.drawn_over, origins=files.origins)
        lines.append(f"{case_id}: accepted {version.stem}, {version.changed_voxel_count} voxels changed")
    return lines


def _read(case: Case) -> tuple[dict[str, Volume], Volume | None]:
    images = {name: read_volume(source) for name, source in case.modalities.items()}
    return images, read_volume(case.brain_mask) if case.brain_mask else None


def _code_of(library: Library, case_id: str, images: Mapping[str, Volume], mask: Volume | None, prefix: str) -> str:
    """The code of a case: the one it has, told by its images, else the next number after those that were given."""
    given = {
        entry.entry.image_hash: (entry.id, int(found[1]))
        for entry in library.cases()
        if (found := re.fullmatch(rf"{re.escape(prefix)}-(\d+)", entry.id, re.IGNORECASE))
    }
    content = image_hash(brain_only(case_id, images, mask))
    if content in given:
        return given[content][0]
    return f"{prefix}-{max((number for _, number in given.values()), default=0) + 1:03d}"


def _known_patients(library: Library, cases: Iterable[Case]) -> dict[str, str]:
    """Patient, in lower case -> code, of those of whom the library has a case already, told by its images.

    All cases are looked through before one gets a code: a new visit may come before the one that is known.
    """
    coded = {one.entry.image_hash: one.patient for one in library.cases()}
    found: dict[str, str] = {}
    for case in cases if coded else ():
        with suppress(Exception):  # adding the case says what is wrong
            content = image_hash(brain_only(case.id, *_read(case)))
            if content in coded:
                found.setdefault(case.patient_id.casefold(), coded[content])
    return found


def _refuse_moved(file: Path, case_id: str) -> None:
    """Raise InputError where a result's images were moved onto each other: those in the folder, which the library gets,
    were not."""
    try:
        record = read_result_record(file)
    except (InputError, OSError):
        return  # adding it says what is wrong
    if moved := [str(one.get("modality")) for one in record.alignment if one.get("accepted")]:
        raise InputError(
            f"{file}: {', '.join(moved)} was moved onto {record.reference} before it was segmented, but the library "
            f"holds the images of {case_id} as they were given",
            "add the images that `segment --align --save-intermediates` wrote instead, and segment these",
        )


def _add_images(
    library: Library, case_id: str, images: Mapping[str, Volume], mask: Volume | None, patient: str, part: str
) -> Iterator[str]:
    known = {entry.id for entry in library.cases()}
    entry = library.add_case(case_id, images, patient=patient, brain_mask=mask, part=part)
    if case_id not in known:
        yield f"{case_id}: added ({entry.part}; {', '.join(entry.modalities)})"


def _add_label(library: Library, case: Case, case_id: str) -> Iterator[str]:
    if case.label is None:
        return
    if case.schema is None:
        read_values(case.label)  # a file that is not a label map is reported as such
        raise InputError(f"{case.label.path}: its label schema cannot be determined", "name it with --schema")
    label, there = read_label(case.label, schema_named(case.schema)), library.case(case_id)
    if not _is_known(library, there, _accepted(there), label, case.schema):
        version = library.accept(case_id, label, case.schema, drawn_over=())
        yield f"{case_id}: its label is accepted as an expert's ({version.stem})"


def _round_of(file: Path) -> int:
    """How often a result was refined: what ``segment`` said comes first, and the last round last."""
    try:
        refined = read_result_record(file).refined
    except (InputError, OSError):
        return 0  # adding it says what is wrong
    return refined.round if refined else 0


def _add_result(library: Library, case_id: str, file: Path) -> Iterator[str]:
    try:
        record = read_result_record(file)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file", "give the record beside the result, or segment again") from error
    schema, model, review = record.schema, record.model.id, record.review
    if not model:
        raise InputError(f"{file}: does not name the model that made the result", "segment again")
    labels = file.with_name(f"{file.name.removesuffix('.json')}.nii.gz")
    label = read_label(Source(labels), schema_named(schema))
    case = library.case(case_id)
    if not record.refined and record.sha256 and sha256_of(labels) != record.sha256:
        raise InputError(
            f"{labels}: has changed since segment wrote it, so it is not what {model} said",
            "bring it back; if it is a correction, add the result as it was, then accept the correction with "
            f"`voxmmsd library accept {library.folder} --case {case_id} --label {labels.name}`",
        )
    if record.refined:
        yield from _add_refined(library, case, label, record, record.refined, labels)
        return
    if _is_known(library, case, [each for each in case.labels if each.model == model], label, schema):
        return
    version = library.add_prediction(case_id, label, schema, model, review)
    yield f"{case_id}: prediction of {model} ({version.stem})"


def _add_refined(
    library: Library, case: LibraryCase, label: Volume, record: ResultRecord, refined: Refinement, labels: Path
) -> Iterator[str]:
    """Accept what ``refine`` wrote, with who decided each voxel; skipped where any accepted label is the same.

    Raises:
        InputError: labels or origins have changed, or an expert's own label is there.
    """
    origins = labels.with_name(labels.name.replace(".nii.gz", "_origin.nii.gz"))
    for file, expected in ((labels, record.sha256), (origins, refined.origin_sha256)):
        if not file.is_file() or sha256_of(file) != expected:
            raise InputError(
                f"{file}: is missing or has changed since refine wrote it",
                "bring it back, or give the labels themselves with `voxmmsd library accept --label`",
            )
    if _is_known(library, case, _accepted(case), label, record.schema):
        return
    if case.accepted and case.accepted.kind == EXPERT:
        raise InputError(
            f"case {case.id}: has a label that an expert drew from scratch, which this one of refine would replace",
            f"if it should: `voxmmsd library accept --case {case.id} --label {labels.name} --origins {origins.name}`",
        )
    who = read_volume(Source(origins))
    version = library.accept(case.id, label, record.schema, drawn_over=(record.model.id,), origins=who)
    assert version.origins is not None
    by = version.origins.voxels
    yield (
        f"{case.id}: accepted {version.stem}, refined from {record.model.id}: {by['edited']:,} voxels edited by hand, "
        f"{by['carried']:,} carried"
    )


def accept_prediction(library: Library, case_id: str) -> LabelVersion:
    """Accept the newest prediction unchanged.

    Raises:
        LibraryError: there is none, or a label was accepted after it.
    """
    case = library.case(case_id)
    if case.prediction is None or case.newest != case.prediction:
        raise LibraryError(f"case {case_id}: has no prediction to answer", "give --label FILE")
    label, schema = library.read_label(case, case.prediction), case.prediction.schema
    return library.accept(case_id, label, schema, drawn_over=[case.prediction.model])


def _accepted(case: LibraryCase) -> list[LabelVersion]:
    return [label for label in case.labels if label.is_accepted]


def _is_known(
    library: Library, case: LibraryCase, versions: Iterable[LabelVersion], label: Volume, schema: str
) -> bool:
    """Whether one of ``versions`` is this label already: not the newest alone, for what was corrected since must not be
    replaced by what it was before.

    Raises:
        LibraryError: the label has a grid of none of the case's images.
    """
    label = on_grid_of_case(case, label, schema)
    kept = (library.read_label(case, each) for each in versions if each.schema == schema)
    return any(one.grid.same_as(label.grid) and np.array_equal(one.array, label.array) for one in kept)
