"""Which models learned a case of a training library: those of the registry, and those that lie in runs alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxmmsd.files import read_json
from voxmmsd.library import Library
from voxmmsd.library.report import used_in
from voxmmsd.models.package import RECORD as MODEL
from voxmmsd.models.package import ModelPackage
from voxmmsd.training.corrections import RECORD as CORRECTIONS


def learned_in(library: Library, packages: Iterable[ModelPackage], runs: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Case id -> ids of models and ``run NAME`` of runs, finished or not, whose model is none of these."""
    packages = tuple(packages)
    known = {package.info.id for package in packages}
    found = used_in(packages, library)
    for run in runs:
        record = _record(run / CORRECTIONS)
        if record.get("library") != library.id or _record(run / "model" / MODEL).get("id") in known:
            continue
        for case_id in set(record.get("labels", ())) - set(record.get("held", ())):
            found[case_id] = (*found.get(case_id, ()), f"run {run.name}")
    return found


def _record(file: Path) -> dict[str, Any]:
    """Empty where there is none, or none that can be read: a broken run must not hide what the others learned."""
    try:
        record = read_json(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
