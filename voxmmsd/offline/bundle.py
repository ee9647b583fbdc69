"""``bundle``: one zip with wheels for a platform and Python version, models and checksums; needs network access."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import voxmmsd
from voxmmsd.errors import BundleError
from voxmmsd.files import sha256_of, written_aside
from voxmmsd.models.archive import export_model
from voxmmsd.models.package import ModelPackage
from voxmmsd.offline.contents import MODELS, PROGRAM, RECORD, WHEELS, Contents, this_python

# pip expands manylinux2014 and macOS to what is older, the numbered manylinux tags not.
PLATFORM_TAGS = {
    "linux-x86_64": (*(f"manylinux_2_{glibc}_x86_64" for glibc in (28, 27, 26, 24, 17)), "manylinux2014_x86_64"),
    "linux-arm64": (*(f"manylinux_2_{glibc}_aarch64" for glibc in (28, 27, 26, 24, 17)), "manylinux2014_aarch64"),
    "windows-x86_64": ("win_amd64",),
    "macos-arm64": ("macosx_14_0_arm64",),
    "macos-x86_64": ("macosx_14_0_x86_64",),
}
# pip decides by the machine it runs on what only one system needs.
ONLY_ON = {"windows-x86_64": ("colorama",)}
_SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}
_PROCESSORS = {"amd64": "x86_64", "aarch64": "arm64"}


def this_platform() -> str:
    processor = platform.machine().lower()
    return f"{_SYSTEMS.get(platform.system(), platform.system())}-{_PROCESSORS.get(processor, processor)}"


def make_bundle(
    out: Path,
    models: Sequence[ModelPackage],
    *,
    target: str = "",
    python: str = "",
    extras: Sequence[str] = (),
    package: Path | None = None,
) -> Contents:
    """Write the bundle ``out``; returns its record.

    ``target`` is a key of ``PLATFORM_TAGS`` and ``python`` such as ``3.12`` (default: those of this process).
    ``package`` is the wheel of voxmmsd or its source folder (default: the source that runs).

    Raises:
        BundleError: ``out`` exists or is not a zip, the platform is unknown, or pip could not get a wheel.
    """
    target, python = target or this_platform(), python or this_python()
    if out.suffix != ".zip" or out.exists():
        raise BundleError(
            f"{out}: {'exists already' if out.exists() else 'does not end in .zip'}",
            "give the name of a .zip that does not exist yet",
        )
    if target not in PLATFORM_TAGS:
        raise BundleError(f"{target}: unknown platform", f"known are {', '.join(PLATFORM_TAGS)}")
    with TemporaryDirectory(prefix="voxmmsd-bundle-") as place:
        folder = Path(place)
        (folder / WHEELS).mkdir()
        own = _own_wheel(package or Path(voxmmsd.__file__).parents[1], folder / WHEELS)
        wanted = f"{own}[{','.join(extras)}]" if extras else str(own)
        _download([wanted, *ONLY_ON.get(target, ())], folder / WHEELS, target, python)
        for model in models:
            export_model(model, folder / MODELS / f"{model.info.id}.zip")
        (folder / "__main__.py").write_text(PROGRAM, encoding="utf-8")
        return _zipped(folder, out, Contents(voxmmsd.__version__, target, python, tuple(m.info.id for m in models)))


def _own_wheel(source: Path, folder: Path) -> Path:
    if source.is_dir() and not (source / "pyproject.toml").is_file():
        raise BundleError(
            f"{source}: contains no source to build a wheel from", "name a wheel or the source with --package"
        )
    with TemporaryDirectory(prefix="voxmmsd-source-") as place:
        source = _copied(source, Path(place)) if source.is_dir() else source
        isolation = ["--no-build-isolation"] if _has_setuptools() else []
        _pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(folder), str(source))
    return next(folder.glob("voxmmsd-*.whl"))


def _copied(source: Path, place: Path) -> Path:
    """What a wheel is built of: setuptools would take along what an earlier build left in the source folder."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(source / name, place)
    shutil.copytree(source / "voxmmsd", place / "voxmmsd", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def _has_setuptools() -> bool:
    """Whether a wheel can be built with what is installed: then no index is asked."""
    from importlib import metadata

    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        return False


def _download(wanted: list[str], folder: Path, target: str, python: str) -> None:
    tags = [word for tag in PLATFORM_TAGS[target] for word in ("--platform", tag)]
    _pip("download", "--only-binary=:all:", "--python-version", python, *tags, "--dest", str(folder), *wanted)


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        reason = " ".join(done.stderr.split()[-60:]) or "pip said nothing"
        raise BundleError(
            f"pip {words[0]} failed: {reason}", "correct what pip names, or check the network, and try again"
        )


def _zipped(folder: Path, out: Path, contents: Contents) -> Contents:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    names = {file.relative_to(folder).as_posix(): file for file in files}
    contents.files.update({name: sha256_of(file) for name, file in names.items()})
    with written_aside(out) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        for name, file in names.items():
            archive.write(file, name)
        archive.writestr(RECORD, contents.text())
    return contents
