"""``install-bundle``: wheels and models of a bundle, with no index reachable. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from voxmmsd.errors import BundleError
from voxmmsd.offline.contents import MODELS, WHEELS, Contents, read_contents, this_python

# What pip or Python say where the system's own Python is not to be installed into.
_NO_ENVIRONMENT = ("No module named pip", "externally-managed-environment")


def install_bundle(file: Path) -> Contents:
    """Install a bundle into the Python that runs, and its models into the registry; its record.

    Raises:
        BundleError: it is damaged or made for another Python, or something could not be installed.
    """
    with TemporaryDirectory(prefix="voxmmsd-", ignore_cleanup_errors=True) as place:
        contents = _unpacked(file, Path(place))
        if contents.python != this_python():
            raise BundleError(
                f"{file}: was made for Python {contents.python}, this is {this_python()}",
                f"make it with `voxmmsd bundle --python {this_python()}`",
            )
        wheels = Path(place) / WHEELS
        own = [str(wheel) for wheel in wheels.glob("voxmmsd-*.whl")]
        others = [name.name.partition("-")[0] for name in wheels.glob("*.whl") if str(name) not in own]
        _call("pip", "install", "--no-index", "--find-links", str(wheels), *own, *others)
        for model in sorted((Path(place) / MODELS).glob("*.zip")):
            _call("voxmmsd", "models", "import", str(model))
    return contents


def _unpacked(file: Path, place: Path) -> Contents:
    try:
        with zipfile.ZipFile(file) as archive:
            contents = read_contents(archive)
            archive.extractall(place, contents.files)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{file}: cannot be read as a bundle ({error})", "copy the bundle again") from error
    return contents


def _call(*words: str) -> None:
    """A module of the Python that runs, in a process of its own: it sees what pip has just installed."""
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )
    if done.returncode:
        said = " ".join(done.stdout.split()[-60:])
        call = " ".join(words[:2])
        if any(sign in done.stdout for sign in _NO_ENVIRONMENT):
            raise BundleError(
                f"{call} failed: {sys.executable} cannot install packages",
                "make an environment and run the bundle there: `python3 -m venv voxmmsd-env`, then "
                "`voxmmsd-env/bin/python FILE.zip`",
            )
        raise BundleError(f"{call} failed: {said}", "correct what it says and install the bundle again")
