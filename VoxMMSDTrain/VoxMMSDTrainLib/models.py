"""Models to start from: those of the registry, and what finished runs left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.files import read_json
from voxmmsd.models.package import RECORD
from voxmmsd.runs import list_runs


@dataclass(frozen=True)
class Choice:
    """A model as a list shows it, and how the core is told of it (``""``: from scratch)."""

    title: str
    spec: str


def starts(runs_folder: Path) -> list[Choice]:
    """What a fine-tuning may start from: the model in use first, from scratch last."""
    from voxmmsd.models.registry import list_models, resolve_model

    try:
        used = resolve_model().info.id
    except VoxMMSDError:
        used = ""
    known = [package.info.id for package in list_models() if package.info.segments]
    others = [id_ for id_ in reversed(known) if id_ != used]
    found = [Choice(_("{model} (in use)").format(model=used), used)] if used else []
    found += [Choice(id_, id_) for id_ in others]
    found += [choice for folder in finished(runs_folder) if (choice := _of_run(folder, known)) is not None]
    return [*found, Choice(_("from scratch"), "")]


def finished(runs_folder: Path) -> list[Path]:
    """Folders of runs that left a model, the latest first."""
    return [run.folder for run in list_runs(runs_folder) if (run.folder / "model" / RECORD).is_file()]


def _of_run(folder: Path, known: Sequence[str]) -> Choice | None:
    """None for a model that is in the registry already, and for a spoiled record: it must not hide the others."""
    try:
        record = read_json(folder / "model" / RECORD)
        if record["id"] in known:
            return None
        kind = _("run {name}") if record["schema"] else _("run {name}, pre-trained")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Choice(kind.format(name=folder.name), str(folder))
