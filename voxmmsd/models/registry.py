"""The registry: models of this user in ``home()/models``, bundled models, and which one is in use.

If no model is named, the most recently accepted one is used, else the bundled starter.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.clock import now
from voxmmsd.errors import ModelError
from voxmmsd.files import FOLDER_SECONDS, folder_written_aside, retry_while_locked
from voxmmsd.home import home
from voxmmsd.ids import safe_id
from voxmmsd.models import decisions
from voxmmsd.models.archive import opened, unpacked
from voxmmsd.models.package import (
    FILES,
    ONNX,
    RECORD,
    WEIGHTS,
    ModelInfo,
    ModelPackage,
    read_info,
    read_package,
    refuse_pretrained,
)

_ASIDE, _DOOMED = ".tmp", ".deleted"  # endings of hidden folders: of ``folder_written_aside``, of ``delete``
_LEFT_AFTER_SECONDS = 3600.0
BUNDLED = Path(__file__).parent / "bundled"  # those that come along; see ``bundled_folder``


@dataclass(frozen=True)
class DamagedModel:
    """A package that cannot be used, and why. ``info`` is None if its record is damaged too; its id is then the name of
    its folder."""

    folder: Path
    error: ModelError
    info: ModelInfo | None

    @property
    def id(self) -> str:
        return self.info.id if self.info else self.folder.name


def registry_folder() -> Path:
    return home() / "models"


def bundled_folder() -> Path:
    """Folder of the models for all users: ``$VOXMMSD_BUNDLED``, else the one in this package."""
    return Path(given).expanduser() if (given := os.environ.get("VOXMMSD_BUNDLED")) else BUNDLED


def list_models() -> list[ModelPackage]:
    """The intact packages of the registry, oldest first, followed by bundled ones that are not in the registry.

    Damaged ones are returned by ``damaged_models``.
    """
    own = _packages_in(registry_folder())
    ids = {package.info.id for package in own}
    return [*own, *(package for package in _packages_in(bundled_folder()) if package.info.id not in ids)]


def damaged_models() -> list[DamagedModel]:
    """The damaged packages of the registry and among the bundled ones."""
    return [*_damaged_in(registry_folder()), *_damaged_in(bundled_folder())]


def model_states() -> dict[str, str]:
    """Model id -> ``accepted``, ``rejected``, ``rolled back`` or ``proposed`` (no decision yet), for all models."""
    return {package.info.id: state_of(package.info.id) for package in list_models()}


def state_of(model_id: str) -> str:
    """Like ``model_states``, for one model, wherever its package is."""
    found = decisions.latest_decisions(decisions.read(_decisions_file())).get(model_id)
    return found.decision if found and found.decision != decisions.DELETED else decisions.PROPOSED


def accepted_times() -> dict[str, str]:
    """Model id -> time of acceptance (ISO, UTC), for acceptances in effect; the latest is last."""
    decided = decisions.latest_decisions(decisions.read(_decisions_file()))
    return {id_: found.time for id_, found in decided.items() if found.decision == decisions.ACCEPTED}


def remark_on_comparison(package: ModelPackage) -> str:
    """That a model was compared with another one than that in use, as text; empty where it was not, or with none."""
    found, used = package.info.provenance.comparison, id_in_use()
    if found is None or not found.old or used in (None, found.old, package.info.id):
        return ""
    return f"{package.info.id} was compared with {found.old}, not with {used}, which is in use"


def accept(package: ModelPackage, force: bool = False) -> ModelPackage:
    """Make a package the model in use; it is copied into the registry if it is not there yet.

    Raises:
        ModelError: it cannot segment, or is worse than its parent on held-out patients and ``force`` is not set.
    """
    refuse_pretrained(package)
    found = package.info.provenance.comparison
    if found is not None and found.outcome == "worse" and not force:
        raise ModelError(
            f"{package.info.id}: is worse than {found.old or package.info.parent} ({found.text})",
            "reject it, or accept it anyway with --force",
        )
    package = import_model(package.folder)
    _decide(package.info.id, decisions.ACCEPTED)
    return package


def reject(package: ModelPackage) -> ModelPackage:
    """Mark a model as rejected; if it was in use, it no longer is. It stays in the registry."""
    _decide(package.info.id, decisions.REJECTED)
    return package


def rollback() -> tuple[str, str | None]:
    """Undo the last acceptance in effect; returns the ids of the former model in use and of the new one, if any.

    Neither needs to be intact, so this also works for a damaged model.

    Raises:
        ModelError: no accepted model is in use.
    """
    accepted = list(accepted_times())
    if not accepted:
        raise ModelError("nothing to roll back: no accepted model is in use", "see `voxmmsd models list`")
    _decide(accepted[-1], decisions.ROLLED_BACK)
    return accepted[-1], id_in_use()


def delete(model_id: str) -> int:
    """Delete a model, intact or damaged, from the registry; returns the number of bytes freed.

    Raises:
        ModelError: no model with exactly this id, or it is bundled or in use.
    """
    folder = registry_folder() / model_id
    if not folder.is_dir() and model_id in {package.info.id for package in _packages_in(bundled_folder())}:
        raise ModelError(
            f"{model_id}: is bundled with the package and cannot be deleted",
            "`voxmmsd models accept` puts another one into use",
        )
    if safe_id(model_id) != model_id or not folder.is_dir():
        raise ModelError(f"{registry_folder()}: has no model with the id {model_id!r}", "see `voxmmsd models list`")
    if list(accepted_times())[-1:] == [model_id]:
        raise ModelError(f"{model_id}: is in use", "accept another model or roll back first")
    size = sum(file.stat().st_size for file in folder.iterdir())
    _decide(model_id, decisions.DELETED)
    _remove(folder)
    return size


def _remove(folder: Path) -> None:
    doomed = folder.with_name(f".{folder.name}{_DOOMED}")
    shutil.rmtree(doomed, ignore_errors=True)
    retry_while_locked(lambda: folder.rename(doomed), FOLDER_SECONDS)  # gone at once, whatever happens to the removal
    shutil.rmtree(doomed)


def import_model(source: Path) -> ModelPackage:
    """Copy a package folder or zip into the registry; an intact copy that exists already is returned.

    A damaged copy of the same model is replaced. Importing does not accept the model: see ``accept``.

    Raises:
        ModelError: it is not an intact package, or another model with the same id exists.
    """
    with opened(source) as package:
        target = registry_folder() / package.info.id
        if target.resolve() == package.folder.resolve():
            return package
        damaged = next((one for one in _damaged_in(registry_folder()) if one.folder == target), None)
        if damaged is not None:
            _refuse_other_network(damaged.info, package, target)
            _remove(target)
        if not _is_copied(package, target):
            _refuse_other_network(read_package(target).info, package, target)
    return read_package(target)


def copy_in_registry(package: ModelPackage) -> ModelPackage | None:
    """The registry's own copy of a package that is elsewhere; None where there is none that is intact."""
    target = registry_folder() / package.info.id
    if target.resolve() == package.folder.resolve():
        return None
    with suppress(ModelError):
        copy = read_package(target)
        if _network(copy.info) == _network(package.info):
            return copy
    return None


def _refuse_other_network(known: ModelInfo | None, package: ModelPackage, target: Path) -> None:
    """Raise an error unless the network is the same; scores and card may have been extended."""
    if known is not None and _network(known) != _network(package.info):
        raise ModelError(f"{target}: another model with the id {package.info.id} is there", "rename one of them")


def _is_copied(package: ModelPackage, target: Path) -> bool:
    """Copy a package; False if it exists, possibly created by another process at the same time."""
    if target.exists():
        return False
    _clear_what_kills_left()
    try:
        with folder_written_aside(target, f".{os.getpid()}") as aside:
            for name in (RECORD, *package.info.files):
                shutil.copyfile(package.file(name), aside / name)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def _clear_what_kills_left() -> None:
    """Delete hidden folders of interrupted imports and deletions; those of active processes are more recent."""
    for folder in registry_folder().glob(".*"):
        with suppress(FileNotFoundError):  # its own process has just removed it
            if folder.suffix in (_ASIDE, _DOOMED) and time.time() - folder.stat().st_mtime > _LEFT_AFTER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _network(info: ModelInfo) -> list[str | None]:
    return [info.files.get(name) for name in (WEIGHTS, ONNX)]


def resolve_model(spec: str = "") -> ModelPackage:
    """Find a package by folder, run folder, zip, registry id or name, or name of a run; without any, the one in use.

    Nothing is imported: a zip is unpacked into a temporary folder for the lifetime of this process.

    Raises:
        ModelError: no such model, or it is damaged; no other one is used instead.
    """
    if not spec:
        return _model_in_use_or_refused()
    path = Path(spec).expanduser()
    for folder in (path, path / "model", home() / "runs" / spec / "model"):
        if (folder / RECORD).is_file():
            return read_package(folder)
    if path.suffix == ".zip" and path.is_file():
        return unpacked(path)
    named = [package for package in list_models() if spec in (package.info.id, package.info.name)]
    newest = max(named, key=lambda package: package.info.created, default=None)
    for damaged in damaged_models():
        if spec == damaged.id or _is_newer_of_name(damaged, spec, newest):
            raise damaged.error
    if newest is not None:
        return newest
    known = ", ".join(package.info.id for package in list_models()) or "none"
    raise ModelError(
        f"{spec}: is not a model package, zip, run with a model, or name of a model (known: {known})",
        "name one of these, or import it with `voxmmsd models import`",
    )


def _is_newer_of_name(damaged: DamagedModel, name: str, newest: ModelPackage | None) -> bool:
    info = damaged.info
    return info is not None and info.name == name and (newest is None or info.created > newest.info.created)


def report() -> str:
    """A table of the models, with the one in use marked."""
    packages, damaged = list_models(), damaged_models()
    if not packages and not damaged:
        return (
            f"no model in {registry_folder()}: `voxmmsd finetune` makes one, `voxmmsd models accept RUN` puts it in use"
        )
    used, states = id_in_use(), model_states()
    rows = [("", "id", "made", "state", "size", "parent", "Dice")]
    for package in packages:
        info = package.info
        mark = "*" if info.id == used else ""
        state = "bundled" if package.folder.parent == bundled_folder() else states[info.id]
        size = f"{package.size_bytes / 2**20:.1f} MiB"
        rows.append((mark, info.id, info.created[:10], state, size, info.parent or "-", _scores(info)))
    for one in damaged:
        made, parent = (one.info.created[:10], one.info.parent or "-") if one.info else ("-", "-")
        rows.append(("*" if one.id == used else "", one.id, made, "damaged", "-", parent, "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = sum(package.size_bytes for package in packages)
    own = sum(package.folder.parent == registry_folder() for package in packages)
    lines += [f"damaged: {one.error}" for one in damaged]
    return "\n".join(
        [*lines, f"* is in use; {total / 2**20:.1f} MiB in all, {own} of {len(packages)} in {registry_folder()}"]
    )


def _scores(info: ModelInfo) -> str:
    """``validation: WT 0.90, ET 0.81``, for the split that best predicts performance on new patients."""
    split, record = info.headline_scores
    if not split:
        return "-"
    regions = record.get("regions", {})
    return f"{split}: " + ", ".join(f"{key} {value:.2f}" for key, value in regions.items() if value is not None)


def find_record(model_id: str) -> ModelInfo | None:
    """The record of a model in the registry, among the bundled ones, or in a run."""
    places = (registry_folder().glob("[!.]*"), bundled_folder().glob("[!.]*"), (home() / "runs").glob("*/model"))
    for folder in (folder for place in places for folder in place):
        with suppress(ModelError):  # a record that cannot be read is not the one looked for, as far as can be known
            info = read_info(folder)
            if info.id == model_id:
                return info
    return None


def _model_in_use_or_refused() -> ModelPackage:
    used = model_in_use()
    if used is None:
        raise ModelError(
            "no model is in use",
            "train one with `voxmmsd finetune` and accept it with `voxmmsd models accept RUN`, or name one with "
            "--model",
        )
    return used


def model_in_use() -> ModelPackage | None:
    """The most recently accepted model, else the bundled one, else None.

    Raises:
        ModelError: it is damaged or missing. An earlier one is not used instead, since a person chose this one.
    """
    if accepted := list(accepted_times()):
        return _read_in_use(registry_folder() / accepted[-1])
    newest = _newest_bundled()
    if isinstance(newest, DamagedModel):
        raise ModelError(
            newest.error.problem, f"{newest.error.remedy}; or name another model with --model"
        ) from newest.error
    return newest


def id_in_use() -> str | None:
    """Like ``model_in_use``, whether or not the model is intact."""
    if accepted := list(accepted_times()):
        return accepted[-1]
    newest = _newest_bundled()
    return newest.info.id if isinstance(newest, ModelPackage) else newest.id if newest else None


def _newest_bundled() -> ModelPackage | DamagedModel | None:
    """One with an unreadable record may be the newest, and is treated as such."""
    return max(_all_in(bundled_folder()), key=lambda one: one.info.created if one.info else "~", default=None)


def _read_in_use(folder: Path) -> ModelPackage:
    try:
        package = read_package(folder)
        if package.info.id != folder.name:
            raise ModelError(f"{folder}: holds a model with the id {package.info.id}", "give the folder that name")
        return package
    except ModelError as error:
        raise ModelError(
            f"{folder.name}: is the accepted model, but its package is damaged or gone ({error.problem})",
            "import it again with `voxmmsd models import`, or return to the model before it with `voxmmsd models "
            "rollback`",
        ) from error


def _decide(model: str, decision: str) -> None:
    decisions.append(_decisions_file(), decisions.Decision(model, decision, now()))


def _decisions_file() -> Path:
    return registry_folder() / "decisions.jsonl"


def _packages_in(folder: Path) -> list[ModelPackage]:
    """The intact packages, oldest first."""
    found = [one for one in _all_in(folder) if isinstance(one, ModelPackage)]
    return sorted(found, key=lambda package: package.info.created)


def _damaged_in(folder: Path) -> list[DamagedModel]:
    return [one for one in _all_in(folder) if isinstance(one, DamagedModel)]


def _all_in(folder: Path) -> list[ModelPackage | DamagedModel]:
    found: list[ModelPackage | DamagedModel] = []
    for place in sorted(folder.glob("[!.]*")):
        if not any((place / name).exists() for name in (RECORD, *FILES)):
            continue  # no package, nor what is left of one
        try:
            found.append(read_package(place))
        except ModelError as error:
            info = None
            with suppress(ModelError):
                info = read_info(place)
            if place.is_dir():  # else it was deleted meanwhile
                found.append(DamagedModel(place, error, info))
    return found
