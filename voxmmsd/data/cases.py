"""Find the cases in a folder, whatever its layout, and report what is missing or could not be assigned.

Recognized layouts: BraTS 2017-2021 and 2023-2024 names, one folder per case with names that contain the sequence, flat
folders of many cases, MSD Task01, DICOM series and NRRD or MetaImage files if SimpleITK is installed, and a CSV or JSON
list.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxmmsd.data.case import Case, PathLike, case_from_files
from voxmmsd.data.finding.dataset_schema import give_schemas
from voxmmsd.data.finding.dicom_cases import group_series
from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.finding.grouping import group_images
from voxmmsd.data.finding.listing import listed_cases
from voxmmsd.data.finding.msd import is_msd, msd_cases
from voxmmsd.data.finding.walk import Unplaced, walk
from voxmmsd.data.formats.sources import ending_of
from voxmmsd.data.reading import CaseVolumes, read_case
from voxmmsd.errors import InputError
from voxmmsd.ids import natural_key, safe_id
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.wording import counted

__all__ = ["Case", "CaseVolumes", "FoundCases", "case_from_files", "find_cases", "read_case"]

_SHOWN_UNPLACED, _NAMED_UNREAD = 20, 5


@dataclass(frozen=True)
class FoundCases:
    """The cases of ``folder`` in natural order of id; ``unplaced``: path and reason for unassigned files; ``unread``:
    images among them whose format is not read."""

    folder: Path
    cases: tuple[Case, ...]
    unplaced: tuple[tuple[Path, str], ...]
    unread: tuple[Path, ...] = ()

    @property
    def unread_remark(self) -> str:
        """A sentence that names the images whose format is not read; empty where there are none."""
        if not self.unread:
            return ""
        named = ", ".join(path.name for path in self.unread[:_NAMED_UNREAD])
        more = f" and {len(self.unread) - _NAMED_UNREAD:,} more" if len(self.unread) > _NAMED_UNREAD else ""
        images = counted(len(self.unread), "image")
        return f"{images} of formats that are not read here: {named}{more}; convert to .nii.gz"

    def refuse_none(self, what: str = "case") -> None:
        """Raise InputError if there is no case, with the images that cannot be read, if there are any."""
        if not self.cases:
            unread = f", but {self.unread_remark.split(';')[0]}" if self.unread else ""
            way = "convert them to .nii.gz" if self.unread else f"`voxmmsd cases {self.folder}` says what was found"
            raise InputError(f"{self.folder}: no {what} found{unread}", way)

    def record(self) -> dict[str, Any]:
        """For programs: cases with their images, what is missing or doubtful, and files that were not assigned."""
        return {
            "folder": str(self.folder),
            "cases": [case.record() for case in self.cases],
            "unplaced": [{"file": str(path), "why": why} for path, why in self.unplaced],
            "unread": [str(path) for path in self.unread],
        }

    def report(self) -> str:
        """A table of the cases, with what is missing or doubtful, followed by files that were not assigned."""
        labeled = sum(case.label is not None for case in self.cases)
        lines = [f"{self.folder}: {counted(len(self.cases), 'case')}, {labeled} with a label"]
        lines += _table(self.cases)
        lines += _unplaced_lines(self.unplaced, self.folder)
        return "\n".join(lines)


def find_cases(folder: PathLike, schema: str | None = None) -> FoundCases:
    """Find the cases in a folder, or in a CSV or JSON list. A folder without cases gives an empty result.

    ``schema`` names the label schema and overrides that of the data set. Predictions are never used as labels.

    Raises:
        InputError: no such folder, a file that is not a list, an invalid list, an unknown schema in a data set.
        ConfigError: unknown ``schema``.
    """
    folder = Path(folder).expanduser().absolute()
    if schema:
        schema_named(schema)
    unplaced: Unplaced = []
    unread: list[Path] = []
    drafts = _drafts_of_folder(folder, unplaced, unread) if folder.is_dir() else _drafts_of_file(folder, unplaced)
    _make_ids_unique(drafts)
    give_schemas(drafts, folder if folder.is_dir() else folder.parent, schema or None)
    cases = sorted((_case(draft) for draft in drafts), key=lambda case: natural_key(case.id))
    ordered = tuple(sorted(unplaced, key=lambda item: natural_key(str(item[0]))))
    return FoundCases(folder, tuple(cases), ordered, tuple(unread))


def _drafts_of_folder(folder: Path, unplaced: Unplaced, unread: list[Path]) -> list[CaseDraft]:
    findings = walk(folder)
    unplaced += findings.unplaced
    unread += findings.unread
    drafts = [draft for file in findings.msd for draft in msd_cases(file, unplaced)]
    drafts += group_images(findings.images, folder, unplaced)
    return drafts + group_series(findings.dicom, unplaced)


def _drafts_of_file(file: Path, unplaced: Unplaced) -> list[CaseDraft]:
    if not file.is_file():
        raise InputError(f"{file}: no such folder or list of cases", "check the path")
    if ending_of(file.name):
        raise InputError(
            f"{file}: is one image", f"give the folder of the case, or say which modality it is (--t1c {file.name})"
        )
    if file.suffix.lower() not in (".csv", ".tsv", ".json"):
        raise InputError(f"{file}: is neither a folder nor a list of cases", "give a folder, or a .csv or .json list")
    return msd_cases(file, unplaced) if is_msd(file) else listed_cases(file)


def _make_ids_unique(drafts: list[CaseDraft]) -> None:
    """Ids are used as file names and must be unique, ignoring case: the folder name or a number is added."""
    taken: set[str] = set()
    ambiguous = {id_ for id_, n in Counter(safe_id(d.id).casefold() for d in drafts).items() if n > 1}
    for draft in drafts:
        id_ = draft.id = safe_id(draft.id)
        if id_.casefold() in ambiguous:
            folders = [draft.place.name, draft.place.parent.name]
            extra = next((safe_id(name) for name in folders if name and safe_id(name) not in id_), "")
            id_ = f"{draft.id}-{extra}" if extra and draft.id.casefold() in taken else draft.id
        number = 2
        while id_.casefold() in taken:
            id_, number = f"{draft.id}-{number}", number + 1
        if id_ != draft.id:
            draft.notes.append(f"another case is named {draft.id} as well: this one, of {draft.place}, is called {id_}")
        draft.id = id_
        taken.add(id_.casefold())


def _case(draft: CaseDraft) -> Case:
    return Case(
        draft.id, draft.patient_id, draft.modalities, draft.label, draft.brain_mask, draft.schema, tuple(draft.notes),
        draft.undecided, draft.is_by_name,
    )  # fmt: skip


def _table(cases: tuple[Case, ...]) -> list[str]:
    if not cases:
        return [
            "  no case: no image's name identifies a sequence (T1, T1 post-contrast, T2, FLAIR); a list can name them"
        ]
    rows = [("case", "patient", *MODALITIES, "label", "mask", "missing"), *map(_row, cases)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    with_notes = [lines[0]]
    for case, line in zip(cases, lines[1:], strict=True):
        with_notes += [line, *(f"      {note}" for note in case.notes)]
    return with_notes


def _row(case: Case) -> tuple[str, ...]:
    marks = ("yes" if name in case.modalities else "-" for name in MODALITIES)
    label = (case.schema or "yes, schema unknown") if case.label else "-"
    missing = ", ".join(case.missing) or "-"
    return (case.id, case.patient_id, *marks, label, "yes" if case.brain_mask else "-", missing)


def _unplaced_lines(unplaced: tuple[tuple[Path, str], ...], folder: Path) -> list[str]:
    if not unplaced:
        return []
    lines = [f"{counted(len(unplaced), 'item')} could not be placed:"]
    lines += [f"  {_relative(path, folder)}: {reason}" for path, reason in unplaced[:_SHOWN_UNPLACED]]
    rest = unplaced[_SHOWN_UNPLACED:]
    by_reason = Counter(reason for _, reason in rest)
    return lines + [f"  and {count:,} more: {reason}" for reason, count in by_reason.most_common(5)]


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path != folder and path.is_relative_to(folder) else path
