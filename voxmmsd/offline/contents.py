"""What a bundle is: a zip with a record of its files, wheels, models, and a program that installs it.

Standard library only: it also runs from the wheel inside the zip, where nothing is installed yet.
"""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from voxmmsd.errors import BundleError
from voxmmsd.files import parse_json

RECORD = "bundle.json"
WHEELS, MODELS = "wheels", "models"

# What Python runs when it is given the zip: `python hospital.zip`.
PROGRAM = """\
import sys
import tempfile
import zipfile

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="voxmmsd-", ignore_cleanup_errors=True) as place:
        with zipfile.ZipFile(sys.argv[0]) as archive:
            wheel = next(name for name in archive.namelist() if name.startswith("wheels/voxmmsd-"))
            sys.path.insert(0, archive.extract(wheel, place))
        from voxmmsd.cli import main

        sys.exit(main(["install-bundle", *sys.argv]))
"""


@dataclass(frozen=True)
class Contents:
    """The record of a bundle; ``files`` are SHA-256 by name."""

    version: str
    platform: str
    python: str
    models: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


_MAKE_AGAIN = "make the bundle again with `voxmmsd bundle`"


def this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read_contents(archive: zipfile.ZipFile) -> Contents:
    """The record, after every file was held against it.

    Raises:
        BundleError: it is not a bundle, a file is missing, damaged or not in the record, or a name leads outside.
    """
    name = archive.filename
    try:
        record = parse_json(archive.read(RECORD).decode())
        contents = Contents(**{**record, "models": tuple(record["models"])})
        present = {entry.filename for entry in archive.infolist() if not entry.is_dir()} - {RECORD}
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{name}: is not a bundle of `voxmmsd bundle` ({error})", _MAKE_AGAIN) from error
    if odd := sorted(present ^ set(contents.files)):
        raise BundleError(f"{name}: {odd[0]} is missing or in no list", "copy the bundle again")
    for file, digest in contents.files.items():
        if Path(file).is_absolute() or ".." in Path(file).parts or "\\" in file or ":" in file:
            raise BundleError(f"{name}: holds {file!r}, a path that leads outside", _MAKE_AGAIN)
        if _digest(archive, file) != digest:
            raise BundleError(f"{name}: {file} is damaged", "copy the bundle again")
    return contents


def _digest(archive: zipfile.ZipFile, file: str) -> str:
    try:
        digest = sha256()
        with archive.open(file) as stream:
            while part := stream.read(2**20):
                digest.update(part)
        return digest.hexdigest()
    except zipfile.BadZipFile:  # the zip's own checksum does not hold
        return ""
