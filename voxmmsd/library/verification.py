"""Verify a library: all records are readable, and all files match their checksums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from voxmmsd.errors import LibraryError
from voxmmsd.files import sha256_of
from voxmmsd.library.folder import Library
from voxmmsd.library.reading import CASE_RECORD
from voxmmsd.library.records import LibraryCase


def verify_library(library: Library) -> list[str]:
    """The problems, one line each; empty if there are none. Reads every file."""
    problems = []
    parts: dict[str, set[str]] = defaultdict(set)
    for record in sorted((library.folder / "cases").glob(f"*/{CASE_RECORD}")):
        if record.parent.name.startswith("."):
            continue
        try:
            case = library.case(record.parent.name)
        except LibraryError as error:
            problems.append(str(error))
            continue
        parts[case.patient.casefold()].add(case.part)
        problems += _wrong_in(case)
    problems += [f"patient {patient} both trains and is held out" for patient, found in parts.items() if len(found) > 1]
    return problems


def unfinished_labels(library: Library) -> list[Path]:
    """Label files without a record, left by a writer that was killed: they count for nothing and do no harm."""
    files = (library.folder / "cases").glob("*/labels/[0-9]*.nii.gz")
    return [file for file in files if not _record_of(file).is_file()]


def _record_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".nii.gz").removesuffix("_origin") + ".json")


def _wrong_in(case: LibraryCase) -> Iterator[str]:
    files = {case.image_file(name): expected for name, expected in case.entry.images.items()}
    files |= {case.label_file(label): label.sha256 for label in case.labels}
    files |= {case.origins_file(label): label.origins.sha256 for label in case.labels if label.origins}
    for file, expected in files.items():
        if not file.is_file():
            yield f"{file}: is missing"
        elif sha256_of(file) != expected:
            yield f"{file}: does not match its checksum; it was changed or damaged"
    if len({label.number for label in case.labels}) < len(case.labels):
        yield f"{case.folder / 'labels'}: two labels have one number"
