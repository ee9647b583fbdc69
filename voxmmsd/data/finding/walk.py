"""Walk through a folder once and collect possible images, in a fixed order."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from voxmmsd.data.finding.msd import is_msd
from voxmmsd.data.finding.naming import read_name
from voxmmsd.data.formats.dicom import may_be_dicom
from voxmmsd.data.formats.sources import ending_of, why_unread
from voxmmsd.ids import natural_key

Unplaced = list[tuple[Path, str]]
VISIT = "visit-"  # what follow --registered writes
IMAGES_BESIDE_RESULTS = (
    "results lie beside images here, and the images are not read: move the results and .run to a folder of their own"
)


@dataclass
class Findings:
    """Image files and DICOM files by the folder they lie in, MSD ``dataset.json`` files, images of formats that are not
    read (also in ``unplaced``), and what was skipped."""

    images: dict[Path, list[Path]] = field(default_factory=dict)
    dicom: dict[Path, list[Path]] = field(default_factory=dict)
    msd: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    unplaced: Unplaced = field(default_factory=list)


def walk(root: Path) -> Findings:
    """All possible images under ``root``. Each folder is entered once, and no link that leads to a folder above itself.

    Hidden folders, run folders and folders of results (``--out``, ``--store``) are skipped; folders of predictions,
    images beside results and links to folders above with a note.
    """
    findings = Findings()
    seen: set[tuple[int, int]] = set()
    ahead = [root]
    while ahead:
        folder = ahead.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            findings.unplaced.append((folder, f"cannot be read ({error.strerror})"))
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        if folder != root and _is_run(entries):
            if any(_is_input(Path(entry)) for entry in entries):
                findings.unplaced.append((folder, IMAGES_BESIDE_RESULTS))
            continue
        seen.add((status.st_dev, status.st_ino))
        ahead += reversed(_look_through(folder, entries, findings))
    return findings


def _look_through(folder: Path, entries: list[os.DirEntry[str]], findings: Findings) -> list[Path]:
    """Note the folder's images; give the folders to enter next."""
    entries = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    if any(entry.name == "dataset.json" for entry in entries) and is_msd(folder / "dataset.json"):
        findings.msd.append(folder / "dataset.json")
        return []
    folders = []
    for entry in entries:
        path = folder / entry.name
        if os.path.isdir(path):  # noqa: PTH112 (entry.is_dir raises for a link to itself)
            folders += _entered(path, entry.is_symlink(), findings.unplaced)
        else:
            _note_file(path, findings)
    return folders


def _entered(folder: Path, is_link: bool, unplaced: Unplaced) -> list[Path]:
    if is_link and folder.resolve() in (place := folder.parent.resolve(), *place.parents):
        unplaced.append((folder, "is a link to a folder above it: not followed"))
        return []
    if read_name(folder.name).kind == "result":
        unplaced.append((folder, "its name says that it holds results, not inputs"))
        return []
    return [folder]


def _note_file(path: Path, findings: Findings) -> None:
    ending = ending_of(path.name)
    if why := why_unread(path.name):
        findings.unread.append(path)
        findings.unplaced.append((path, why))
    elif ending and not os.path.exists(path):  # noqa: PTH110 (Path.exists raises for a link to itself)
        findings.unplaced.append((path, "is a link to a file that is not there"))
    elif ending:
        findings.images.setdefault(path.parent, []).append(path)
    else:
        try:
            if path.is_file() and may_be_dicom(path):
                findings.dicom.setdefault(path.parent, []).append(path)
        except OSError as error:
            findings.unplaced.append((path, f"cannot be read ({error.strerror})"))


def _is_input(path: Path) -> bool:
    """Whether it is an image that no command of this package wrote there."""
    if "voxmmsd" in path.name or path.name.startswith((".", VISIT)):
        return False
    return bool(ending_of(path.name)) or (path.is_file() and _looks_like_dicom(path))


def _looks_like_dicom(path: Path) -> bool:
    try:
        return may_be_dicom(path)
    except OSError:  # a file that cannot be read is not what makes a folder one of images
        return False


def _is_run(entries: list[os.DirEntry[str]]) -> bool:
    names = {entry.name for entry in entries}
    return {"status.json", "config.json"} <= names or ".run" in names
