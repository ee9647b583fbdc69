"""Models to start from: those of the registry, and what finished runs left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
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
    found += [_of_run(folder) for folder in finished(runs_folder)]
    return [*found, Choice(_("from scratch"), "")]


def finished(runs_folder: Path) -> list[Path]:
    """Folders of runs that left a model, the latest first."""
    return [run.folder for run in list_runs(runs_folder) if (run.folder / "model" / "model.json").is_file()]


def _of_run(folder: Path) -> Choice:
    record = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    kind = _("run {name}") if record.get("schema") else _("run {name}, pre-trained")
    return Choice(kind.format(name=folder.name), str(folder))
