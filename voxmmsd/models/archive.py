"""Export and import a model package as a zip. Nothing in a zip is trusted before it was checked."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from voxmmsd.errors import ModelError
from voxmmsd.files import written_aside
from voxmmsd.models.package import CARD, FILES, RECORD, ModelPackage, read_package

MAX_PACKAGE_BYTES = 2 * 2**30
MAX_TEXT_BYTES = 2**20  # of the record and of the card


def export_model(package: ModelPackage, file: Path) -> Path:
    """Write a package as a zip with one folder of the model's id, and nothing else; the file.

    Raises:
        ModelError: the file exists, is not to be named ``.zip``, or the package is broken.
    """
    if file.suffix.lower() != ".zip":
        raise ModelError(f"{file}: a model is exported as one zip", "give a name that ends in .zip")
    if file.exists():
        raise ModelError(f"{file}: exists already", "nothing is overwritten, give another name")
    package = read_package(package.folder)
    with written_aside(file) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (RECORD, *package.info.files):
            archive.write(package.file(name), f"{package.info.id}/{name}")
    return file


@contextmanager
def opened(source: Path) -> Iterator[ModelPackage]:
    """A package from its folder or zip, checked; what is unpacked is gone afterwards.

    Raises:
        ModelError: it is not an intact package, or not a zip written by an export.
    """
    if source.is_dir():
        yield read_package(source)
        return
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        yield _read_from(source, Path(place))


def unpacked(file: Path) -> ModelPackage:
    """A package from its zip, in a temporary folder that lasts as long as this process; nothing is imported.

    Raises:
        ModelError: as ``opened``.
    """
    state = file.stat()
    key = (file.resolve(), state.st_mtime_ns, state.st_size)
    if key not in _unpacked or not _unpacked[key].folder.is_dir():
        place = TemporaryDirectory(prefix="voxmmsd-", ignore_cleanup_errors=True)
        package = _read_from(file, Path(place.name))
        _places.append(place)  # removed at the process's end
        _unpacked[key] = package
    return read_package(_unpacked[key].folder)


_unpacked: dict[tuple[Path, int, int], ModelPackage] = {}  # zip as it was -> its package
_EXPORT_AGAIN = "export the model again with `voxmmsd models export`"
_places: list[TemporaryDirectory[str]] = []


def _read_from(file: Path, place: Path) -> ModelPackage:
    """The package of a zip, unpacked into ``place``; what is wrong with it is said of the zip."""
    try:
        return read_package(_extracted(file, place))
    except ModelError as error:
        raise ModelError(error.problem.replace(str(place), str(file)), error.remedy) from error


def _extracted(file: Path, place: Path) -> Path:
    """Unpack the files of a package, at the zip's top or in one folder, under names of ours."""
    try:
        with zipfile.ZipFile(file) as archive:
            for name, member in _members(archive, file).items():
                with archive.open(member) as source, (place / name).open("wb") as target:
                    shutil.copyfileobj(source, target)  # reads no more than the size it was checked for
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read as a zip of a model package ({error})", "export it again") from error
    return place


def _members(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """Names of a package's files -> the zip's members, all in one folder.

    Raises:
        ModelError: not one package, paths that lead outside, duplicate names, links, or more than a package may hold.
    """
    entries = archive.infolist()
    for entry in entries:
        parts = Path(entry.filename.replace("\\", "/")).parts
        if ".." in parts or entry.filename.startswith(("/", "\\")) or ":" in entry.filename:
            raise ModelError(f"{file}: holds {entry.filename!r}, a path that leads outside", _EXPORT_AGAIN)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ModelError(f"{file}: holds {entry.filename!r}, a link", _EXPORT_AGAIN)
    records = [entry for entry in entries if Path(entry.filename).name == RECORD]
    if len(records) != 1:
        raise ModelError(f"{file}: holds {len(records)} model packages, expected one", _EXPORT_AGAIN)
    prefix = records[0].filename.removesuffix(RECORD)
    wanted = [entry for entry in entries if entry.filename in {prefix + name for name in (RECORD, *FILES)}]
    members = {entry.filename.removeprefix(prefix): entry for entry in wanted}
    if len(members) != len(wanted):
        raise ModelError(f"{file}: holds a file twice", _EXPORT_AGAIN)
    sizes = {name: entry.file_size for name, entry in members.items()}
    if sum(sizes.values()) > MAX_PACKAGE_BYTES:
        raise ModelError(f"{file}: claims more than {MAX_PACKAGE_BYTES // 2**30} GiB", _EXPORT_AGAIN)
    if max(sizes.get(RECORD, 0), sizes.get(CARD, 0)) > MAX_TEXT_BYTES:
        raise ModelError(
            f"{file}: its record or card claims more than {MAX_TEXT_BYTES // 2**20} MiB of text", _EXPORT_AGAIN
        )
    return members
