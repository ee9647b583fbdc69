"""``python -m headless_slicer.extension_archive FOLDER``: the archive that Slicer installs by *Install from file*.

It is laid out as the packaging of Slicer's own build (CMake/SlicerExtensionCPack.cmake) lays it out, but needs CMake
only: the modules hold nothing that is compiled. ``--series``, ``--revision``, ``--os`` and ``--arch`` are those of the
Slicer that it is for, as its window *About* says them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).resolve().parent / "cmake"
NAME = "VoxMMSD"
# No compiler is needed to copy Python files; `project()` would look for one all the same.
ANY_PROGRAM = sys.executable
NO_COMPILER = [f"-DCMAKE_{one}_COMPILER{value}" for one in ("C", "CXX") for value in (f"={ANY_PROGRAM}", "_FORCED=ON")]


def make(folder: Path, *, series: str, revision: str, system: str, architecture: str) -> Path:
    """Configure, install and pack the extension; the archive.

    ``series``: such as 5.12; ``system``: linux, win or macosx, as Slicer's downloads are named.

    Raises:
        RuntimeError: CMake failed; says its words.
    """
    stem = f"{revision}-{system}-{architecture}-{NAME}-{_revision()}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        # Inside the application's bundle, where macOS keeps them.
        inner = f"Slicer.app/Contents/Extensions-{revision}/{NAME}" if system == "macosx" else "."
        prefix = Path(place) / stem
        install(Path(place) / "build", prefix / inner, series)
        archive = folder / f"{stem}.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(prefix, stem)
    return archive


def install(build: Path, prefix: Path, series: str) -> None:
    """Configure and install the extension for a Slicer of ``series`` into ``prefix``.

    Raises:
        RuntimeError: CMake failed; says its words.
    """
    options = [f"-DSlicer_DIR={STAND_INS}", f"-DSlicer_SERIES={series}", f"-DVoxMMSD_REVISION={_revision()}"]
    _cmake("-S", REPOSITORY, "-B", build, *options, "-DBUILD_TESTING=ON", "-G", "Unix Makefiles", *NO_COMPILER)
    _cmake("--install", build, "--prefix", prefix)


def modules_in(extension: Path, series: str) -> Path:
    """Where the modules of an installed extension lie; Slicer adds it to its paths of modules."""
    return extension / "lib" / f"Slicer-{series}" / "qt-scripted-modules"


def unpack(archive: Path, extensions: Path, system: str) -> Path:
    """What the Extensions Manager does with an archive: the extension's folder.

    See qSlicerExtensionsManagerModel::installExtension and extractExtensionArchive.

    Raises:
        RuntimeError: it holds no description, or lies in more than one folder.
    """
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        described = [Path(name).stem for name in names if name.endswith(".s4ext")]
        tops = {name.partition("/")[0] for name in names}
        if described != [NAME] or len(tops) != 1:
            raise RuntimeError(f"{archive}: descriptions {described} in folders {sorted(tops)}")
        with tempfile.TemporaryDirectory(dir=extensions) as place:
            packed.extractall(place, filter="data")
            (top,) = tops
            revision = top.partition("-")[0]
            inner = f"Slicer.app/Contents/Extensions-{revision}/{NAME}" if system == "macosx" else "."
            return (Path(place) / top / inner).resolve().rename(extensions / NAME)


def _cmake(*words: object) -> None:
    command = [sys.executable, "-m", "cmake", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def _revision() -> str:
    """As Slicer's build names an extension's: ``git`` and the commit; without git, the word alone."""
    try:
        command = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
        return "git" + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "git"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the archive is put")
    parser.add_argument("--series", required=True, help="such as 5.12")
    parser.add_argument("--revision", required=True, help="such as 34317")
    parser.add_argument("--os", required=True, choices=("linux", "win", "macosx"))
    parser.add_argument("--arch", default="amd64")
    given = parser.parse_args(arguments)
    print(make(given.folder, series=given.series, revision=given.revision, system=given.os, architecture=given.arch))


if __name__ == "__main__":
    main()
