"""The records of a training library: all that a table of its cases shows. Needs numpy alone, and no image is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.errors import LibraryError
from voxmmsd.ids import natural_key, safe_id
from voxmmsd.library.records import CaseRecord, LabelVersion, LibraryCase, read_record

RECORD, CASE_RECORD = "library.json", "case.json"


@dataclass(frozen=True)
class About:
    """The content of ``library.json``."""

    id: str
    created: str
    hold_out_share: float
    seed: int


def is_library(folder: Path) -> bool:
    return (folder / RECORD).is_file()


class LibraryRecords:
    """The records of a library and of its cases, read again at each call; no image is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).expanduser()
        if not is_library(self.folder):
            raise LibraryError(
                f"{self.folder}: is not a training library (it has no {RECORD})",
                f"`voxmmsd library add {self.folder} FOLDER` makes one",
            )
        self._about = read_record(self.folder / RECORD, lambda record: About(**record))

    @property
    def id(self) -> str:
        """The id of the library, independent of its folder."""
        return self._about.id

    @property
    def hold_out_share(self) -> float:
        """Fraction of the new patients that are held out."""
        return self._about.hold_out_share

    def cases(self, known: Iterable[LibraryCase] = ()) -> tuple[LibraryCase, ...]:
        """All cases with their labels, in natural order of id; reads records only, no image.

        ``known``: what an earlier call gave. No record is ever rewritten, so that only what came since is read.

        Raises:
            LibraryError: a record is damaged.
        """
        earlier = {case.folder: case for case in known}
        folders = [file.parent for file in (self.folder / "cases").glob(f"*/{CASE_RECORD}")]
        folders = [folder for folder in folders if not folder.name.startswith(".")]
        folders.sort(key=lambda folder: natural_key(folder.name))
        return tuple(_read_case(folder, earlier.get(folder)) for folder in folders)

    def case(self, case_id: str) -> LibraryCase:
        """Raises LibraryError: there is no such case, or a record of it is damaged."""
        folder = self.folder / "cases" / case_id
        if safe_id(case_id) != case_id or not (folder / CASE_RECORD).is_file():
            known = ", ".join(case.id for case in self.cases()[:10]) or "none"
            raise LibraryError(f"{self.folder}: has no case {case_id!r} (known: {known})", "name one of its cases")
        return _read_case(folder)


def _read_case(folder: Path, known: LibraryCase | None = None) -> LibraryCase:
    files = [file for file in (folder / "labels").glob("*.json") if not file.name.startswith(".")]
    if known is not None and {file.stem for file in files} == {label.stem for label in known.labels}:
        return known
    entry = read_record(folder / CASE_RECORD, CaseRecord.from_record)
    if entry.id != folder.name:
        raise LibraryError(f"{folder}: holds the case {entry.id}", "rename the folder back")
    labels = [read_record(file, LabelVersion.from_record) for file in files]
    return LibraryCase(folder, entry, tuple(sorted(labels, key=lambda label: label.number)))
