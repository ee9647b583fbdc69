"""Which models were trained on a case of a training library: in the registry, and in runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxmmsd.config import CORRECTIONS_RECORD
from voxmmsd.files import read_json
from voxmmsd.library.reading import LibraryRecords
from voxmmsd.models.package import RECORD as MODEL
from voxmmsd.models.package import ModelPackage


def learned_in(
    library: LibraryRecords, packages: Iterable[ModelPackage], runs: Iterable[Path]
) -> dict[str, tuple[str, ...]]:
    """Case id -> ids of models, and ``run NAME`` for runs (finished or not) whose model is not among these."""
    packages = tuple(packages)
    known = {package.info.id for package in packages}
    found = used_in(packages, library)
    for run in runs:
        record = _record(run / CORRECTIONS_RECORD)
        if record.get("library") != library.id or _record(run / "model" / MODEL).get("id") in known:
            continue
        for case_id in set(record.get("labels", ())) - set(record.get("held", ())):
            found[case_id] = (*found.get(case_id, ()), f"run {run.name}")
    return found


def used_in(packages: Iterable[ModelPackage], library: LibraryRecords) -> dict[str, tuple[str, ...]]:
    """Case id -> ids of the models that learned a label of it from this library."""
    found: dict[str, tuple[str, ...]] = {}
    for package in packages:
        for case_id in package.info.provenance.learned_labels(library.id):
            found[case_id] = (*found.get(case_id, ()), package.info.id)
    return found


def _record(file: Path) -> dict[str, Any]:
    """Empty if it is missing or unreadable: a broken run must not hide the others."""
    try:
        record = read_json(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
