"""The registry: this user's models under ``home()/models``, those bundled with the package, and which one is taken.

The order of look-up when none is named: the newest accepted model of the registry, else the bundled starter.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from voxmmsd.errors import ModelError
from voxmmsd.files import write_json_atomic
from voxmmsd.home import home
from voxmmsd.models.package import FILES, RECORD, ModelPackage, read_package, refuse_pretrained
from voxmmsd.runs import now

BUNDLED = Path(__file__).parent / "bundled"
LARGEST_PACKAGE_BYTES = 2 * 2**30


def registry_folder() -> Path:
    return home() / "models"


def list_models() -> list[ModelPackage]:
    """The readable packages of the registry, oldest first, then the bundled ones."""
    return [*_packages_in(registry_folder()), *_packages_in(BUNDLED)]


def accepted_times() -> dict[str, str]:
    """Model id -> when it was last accepted (ISO, UTC)."""
    try:
        record = json.loads(_acceptance_file().read_text(encoding="utf-8"))
        return {str(id_): str(time) for id_, time in record.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{_acceptance_file()}: cannot be read ({error}); remove it and accept a model again"
        ) from error


def accept(package: ModelPackage) -> ModelPackage:
    """Make a package the one that ``segment`` takes; it is copied into the registry if it is not there yet."""
    refuse_pretrained(package)
    package = import_model(package.folder)
    write_json_atomic(_acceptance_file(), {**accepted_times(), package.info.id: now()})
    return package


def import_model(source: Path) -> ModelPackage:
    """Copy a package folder or zip into the registry; one that is there already is given as it is.

    Raises:
        ModelError: it is no whole package, or another one of the same id is there.
    """
    with _opened(source) as package:
        target = registry_folder() / package.info.id
        if target.resolve() == package.folder.resolve():
            return package
        if target.exists():
            known = read_package(target)
            if known.info.files != package.info.files:
                raise ModelError(f"{target}: another model of the id {package.info.id} is there; rename one of them")
            return known
        aside = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(package.folder, aside)
        aside.rename(target)
    return read_package(target)


def resolve_model(spec: str = "") -> ModelPackage:
    """A package by folder, run folder, zip, registry id or name, or name of a run; without any, the one in use.

    Raises:
        ModelError: there is none, with the way to one.
    """
    if not spec:
        return _model_in_use()
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
    times = accepted_times()
    packages = list_models()
    if not packages:
        return (
            f"no model in {registry_folder()}: `voxmmsd finetune` makes one, `voxmmsd models accept RUN` puts it in use"
        )
    used = _model_in_use().info.id if times else ""
    rows = [("", "id", "made", "accepted", "size", "validation Dice")]
    for package in packages:
        info = package.info
        regions = info.scores.get("validation", {}).get("regions", {})
        scores = ", ".join(f"{key} {value:.2f}" for key, value in regions.items() if value is not None)
        size = f"{package.size_bytes / 2**20:.1f} MiB"
        rows.append(
            ("*" if info.id == used else "", info.id, info.created[:10], times.get(info.id, "-")[:10], size, scores)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _model_in_use() -> ModelPackage:
    times = accepted_times()
    accepted = [package for package in _packages_in(registry_folder()) if package.info.id in times]
    if accepted:
        return max(accepted, key=lambda package: times[package.info.id])
    bundled = list(_packages_in(BUNDLED))
    if bundled:
        return bundled[-1]
    raise ModelError(
        "no model is in use: train one with `voxmmsd finetune` and accept it with `voxmmsd models accept RUN`, or name "
        "one with --model"
    )


def _acceptance_file() -> Path:
    return registry_folder() / "accepted.json"


def _packages_in(folder: Path) -> Iterator[ModelPackage]:
    found = []
    for record in folder.glob(f"*/{RECORD}"):
        try:
            found.append(read_package(record.parent))
        except ModelError:
            continue  # a broken package is no choice; naming it says what is wrong with it
    yield from sorted(found, key=lambda package: package.info.created)


@contextmanager
def _opened(source: Path) -> Iterator[ModelPackage]:
    if source.is_dir():
        yield read_package(source)
        return
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        yield read_package(_extracted(source, Path(place)))


def _extracted(file: Path, place: Path) -> Path:
    """Unpack the files of a package from a zip, at its top or in one folder; nothing else of it is written."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, file)
            for name, member in members.items():
                with archive.open(member) as source, (place / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"{file}: cannot be read as a zip of a model package ({error})") from error
    return place


def _members(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """Names of a package's files -> the zip's members, all in one folder.

    Raises:
        ModelError: files are missing, or claim more than a package may hold.
    """
    records = [info for info in archive.infolist() if Path(info.filename).name == RECORD]
    if len(records) != 1:
        raise ModelError(f"{file}: holds {len(records)} model packages, expected one")
    prefix = records[0].filename.removesuffix(RECORD)
    members = {name: info for info in archive.infolist() for name in (RECORD, *FILES) if info.filename == prefix + name}
    if sum(info.file_size for info in members.values()) > LARGEST_PACKAGE_BYTES:
        raise ModelError(f"{file}: claims more than {LARGEST_PACKAGE_BYTES // 2**30} GiB; this is no model package")
    return members
