"""The library as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voxmmsd.library.folder import Library
from voxmmsd.library.next_case import Suggestion
from voxmmsd.library.records import ACCEPTED, HOLD_OUT, LibraryCase
from voxmmsd.wording import counted, text_table


def cases_report(library: Library, used_in: Mapping[str, Sequence[str]]) -> str:
    """A row per case: code, patient, part, state, modalities, newest label, voxels changed, models that learned it."""
    cases = library.cases()
    if not cases:
        return f"{library.folder}: holds no case yet; `voxmmsd library add {library.folder} FOLDER` adds some"
    rows = [["case", "patient", "part", "state", "modalities", "newest label", "voxels changed", "by", "used in"]]
    rows += [_row(case, used_in.get(case.id, ())) for case in cases]
    accepted = sum(case.state == ACCEPTED for case in cases)
    held = sum(case.part == HOLD_OUT for case in cases)
    summary = f"{library.folder}: {counted(len(cases), 'case')}, {accepted} with an accepted label, {held} held out"
    return "\n".join([summary, text_table(rows)])


def suggestions_report(suggestions: Sequence[Suggestion], count: int) -> str:
    if not suggestions:
        return "every case has an accepted label"
    return "\n".join(f"{one.case_id}: {one.reason}" for one in suggestions[:count])


def _row(case: LibraryCase, models: Sequence[str]) -> list[str]:
    newest = case.newest
    changed = str(newest.changed_voxel_count) if newest and newest.changed_voxels is not None else "-"
    by = (newest.model or ", ".join(newest.drawn_over) or "expert") if newest else "-"
    learned = ", ".join(models) or "-"
    label = newest.stem if newest else "-"
    return [case.id, case.patient, case.part, case.state, ", ".join(case.modalities), label, changed, by, learned]
