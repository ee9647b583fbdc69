"""The registry: this user's models under ``home()/models``, those bundled with the package, and which one is taken.

The order of look-up when none is named: the newest accepted model of the registry, else the bundled starter.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from voxmmsd.data.naming import safe_id
from voxmmsd.errors import ModelError
from voxmmsd.files import folder_written_aside
from voxmmsd.home import home
from voxmmsd.models import decisions
from voxmmsd.models.archive import opened
from voxmmsd.models.package import ONNX, RECORD, WEIGHTS, ModelInfo, ModelPackage, read_info, read_package, refuse_pretrained
from voxmmsd.runs import now

_ASIDE, _DOOMED = ".tmp", ".deleted"  # endings of hidden folders: of ``folder_written_aside``, of ``delete``
_LEFT_AFTER_SECONDS = 3600.0
BUNDLED = Path(__file__).parent / "bundled"  # those that come along; see ``bundled_folder``


def registry_folder() -> Path:
    return home() / "models"


def bundled_folder() -> Path:
    """The models of all users: ``$VOXMMSD_BUNDLED``, a department's say, else those that come along."""
    return Path(given).expanduser() if (given := os.environ.get("VOXMMSD_BUNDLED")) else BUNDLED


def list_models() -> list[ModelPackage]:
    """The readable packages of the registry, oldest first, then the bundled ones that were not copied there."""
    own = list(_packages_in(registry_folder()))
    ids = {package.info.id for package in own}
    return [*own, *(package for package in _packages_in(bundled_folder()) if package.info.id not in ids)]


def model_states() -> dict[str, str]:
    """Model id -> ``accepted``, ``rejected``, ``rolled back`` or ``proposed`` (nothing was decided), of all models."""
    return {package.info.id: state_of(package.info.id) for package in list_models()}


def state_of(model_id: str) -> str:
    """As ``model_states``, of one model, wherever its package lies."""
    found = decisions.standing(decisions.read(_decisions_file())).get(model_id)
    return found.decision if found and found.decision != decisions.DELETED else decisions.PROPOSED


def accepted_times() -> dict[str, str]:
    """Model id -> when it was accepted (ISO, UTC), where that stands; the model accepted last comes last."""
    decided = decisions.standing(decisions.read(_decisions_file()))
    return {id_: found.time for id_, found in decided.items() if found.decision == decisions.ACCEPTED}


def accept(package: ModelPackage, force: bool = False) -> ModelPackage:
    """Make a package the one that ``segment`` takes; it is copied into the registry if it is not there yet.

    Raises:
        ModelError: it cannot segment, or was found worse than its parent on hold-out patients and is not forced.
    """
    refuse_pretrained(package)
    verdict = package.info.training.get("comparison", {})
    if verdict.get("outcome") == "worse" and not force:
        old = verdict.get("old", package.info.parent)
        raise ModelError(
            f"{package.info.id}: is worse than {old} ({verdict.get('text', '')}); reject it, or accept it in spite of "
            "that with --force"
        )
    package = import_model(package.folder)
    _decide(package.info.id, decisions.ACCEPTED)
    return package


def reject(package: ModelPackage) -> ModelPackage:
    """Note that a model is not wanted; one in use is no longer. It stays in the registry, if it is there."""
    _decide(package.info.id, decisions.REJECTED)
    return package


def rollback() -> tuple[ModelPackage, ModelPackage | None]:
    """Take back the last acceptance that stands: the model that was in use, and the one that is now, if any.

    Raises:
        ModelError: no accepted model is in use.
    """
    accepted = _accepted()
    if not accepted:
        raise ModelError("nothing to roll back: no accepted model is in use; see `voxmmsd models list`")
    _decide(accepted[-1].info.id, decisions.ROLLED_BACK)
    return accepted[-1], model_in_use()


def delete(model_id: str) -> int:
    """Remove a model, whole or broken, from the registry; the bytes that are free now.

    Raises:
        ModelError: there is none of exactly that id, it is bundled, or it is in use.
    """
    folder = registry_folder() / model_id
    if not folder.is_dir() and model_id in {package.info.id for package in _packages_in(bundled_folder())}:
        raise ModelError(
            f"{model_id}: comes along with the package and stays; `voxmmsd models accept` takes another one into use"
        )
    if safe_id(model_id) != model_id or not folder.is_dir():
        raise ModelError(f"{registry_folder()}: has no model of the id {model_id!r}; see `voxmmsd models list`")
    used = model_in_use()
    if used is not None and used.folder == folder:
        raise ModelError(f"{model_id}: is in use; accept another model or roll back first")
    size = sum(file.stat().st_size for file in folder.iterdir())
    _decide(model_id, decisions.DELETED)
    doomed = folder.with_name(f".{model_id}{_DOOMED}")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)  # gone at once, whatever happens to the removal
    shutil.rmtree(doomed)
    return size


def import_model(source: Path) -> ModelPackage:
    """Copy a package folder or zip into the registry; one that is there already is given as it is.

    Raises:
        ModelError: it is no whole package, or another one of the same id is there.
    """
    with opened(source) as package:
        target = registry_folder() / package.info.id
        if target.resolve() == package.folder.resolve():
            return package
        if not _is_copied(package, target):
            known = read_package(target)
            if _network(known) != _network(package):  # scores and card may have been added to since
                raise ModelError(f"{target}: another model of the id {package.info.id} is there; rename one of them")
    return read_package(target)


def _is_copied(package: ModelPackage, target: Path) -> bool:
    """Copy a package; False where one is there, since long or by another process just now."""
    if target.exists():
        return False
    _clear_what_kills_left()
    try:
        with folder_written_aside(target, f".{os.getpid()}") as aside:
            for name in (RECORD, *package.info.files):
                shutil.copyfile(package.folder / name, aside / name)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def _clear_what_kills_left() -> None:
    """Hidden folders of imports and deletions that never ended; those that another process is at are younger."""
    for folder in registry_folder().glob(".*"):
        with suppress(FileNotFoundError):  # its own process has just removed it
            if folder.suffix in (_ASIDE, _DOOMED) and time.time() - folder.stat().st_mtime > _LEFT_AFTER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _network(package: ModelPackage) -> list[str | None]:
    return [package.info.files.get(name) for name in (WEIGHTS, ONNX)]


def resolve_model(spec: str = "") -> ModelPackage:
    """A package by folder, run folder, zip, registry id or name, or name of a run; without any, the one in use.

    Raises:
        ModelError: there is none, with the way to one.
    """
    if not spec:
        return _model_in_use_or_refused()
    path = Path(spec).expanduser()
    for folder in (path, path / "model", home() / "runs" / spec / "model"):
        if (folder / RECORD).is_file():
            return read_package(folder)
    if path.suffix == ".zip" and path.is_file():
        return import_model(path)
    named = [package for package in list_models() if spec in (package.info.id, package.info.name)]
    if named:
        return max(named, key=lambda package: package.info.created)
    known = ", ".join(package.info.id for package in list_models()) or "none"
    raise ModelError(f"{spec}: is no model package, zip, run with a model, or name of a model (known: {known})")


def report() -> str:
    """A table of the models, the one in use marked."""
    packages = list_models()
    if not packages:
        return (
            f"no model in {registry_folder()}: `voxmmsd finetune` makes one, `voxmmsd models accept RUN` puts it in use"
        )
    used, states = model_in_use(), model_states()
    rows = [("", "id", "made", "state", "size", "parent", "Dice")]
    for package in packages:
        info = package.info
        mark = "*" if used is not None and info.id == used.info.id else ""
        state = "bundled" if package.folder.parent == bundled_folder() else states[info.id]
        size = f"{package.size_bytes / 2**20:.1f} MiB"
        rows.append((mark, info.id, info.created[:10], state, size, info.parent or "-", _scores(info)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = sum(package.size_bytes for package in packages)
    own = sum(package.folder.parent == registry_folder() for package in packages)
    return "\n".join(
        [*lines, f"* is in use; {total / 2**20:.1f} MiB in all, {own} of {len(packages)} in {registry_folder()}"]
    )


def _scores(info: ModelInfo) -> str:
    """``validation: WT 0.90, ET 0.81``, of the split that says most of new patients."""
    split, record = info.telling_scores
    if not split:
        return "-"
    regions = record.get("regions", {})
    return f"{split}: " + ", ".join(f"{key} {value:.2f}" for key, value in regions.items() if value is not None)


def find_record(model_id: str) -> ModelInfo | None:
    """What the record of a model says, wherever it lies: in the registry, bundled, or as the result of a run."""
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
            "no model is in use: train one with `voxmmsd finetune` and accept it with `voxmmsd models accept RUN`, or "
            "name one with --model"
        )
    return used


def model_in_use() -> ModelPackage | None:
    """The model that was accepted last, else the bundled one, else none."""
    return next(iter([*_accepted()[::-1], *list(_packages_in(bundled_folder()))[::-1]]), None)


def _accepted() -> list[ModelPackage]:
    """Whole packages whose acceptance stands, the one accepted last at the end."""
    order = list(accepted_times())
    found = [package for package in _packages_in(registry_folder()) if package.info.id in order]
    return sorted(found, key=lambda package: order.index(package.info.id))


def _decide(model: str, decision: str) -> None:
    decisions.append(_decisions_file(), decisions.Decision(model, decision, now()))


def _decisions_file() -> Path:
    return registry_folder() / "decisions.jsonl"


def _packages_in(folder: Path) -> Iterator[ModelPackage]:
    found = []
    for record in folder.glob(f"[!.]*/{RECORD}"):
        try:
            found.append(read_package(record.parent))
        except ModelError:
            continue  # a broken package is no choice; naming it says what is wrong with it
    yield from sorted(found, key=lambda package: package.info.created)
