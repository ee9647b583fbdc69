"""``voxmmsd bundle`` and ``install-bundle``: an installer for a machine without network access."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, require
from voxmmsd.wording import counted


@dataclass(frozen=True)
class BundleConfig:
    out: str = option("", "zip to write", affects=Affects.PLACE)
    models: tuple[str, ...] = option((), "models to include (default: the model in use, if any)")
    platform: str = option(
        "", "target platform, such as linux-x86_64, windows-x86_64, macos-arm64 (default: this machine)"
    )
    python: str = option("", "target Python version, such as 3.12 (default: this one)")
    extras: tuple[str, ...] = option((), "optional dependencies to include: train, openvino, formats, dicom")
    package: str = option("", "wheel or source folder of voxmmsd (default: the running source)", affects=Affects.INPUT)


@dataclass(frozen=True)
class InstallBundleConfig:
    bundle: str = option("", "zip file", affects=Affects.INPUT, positional=True)


def run(config: BundleConfig) -> None:
    from voxmmsd.models.registry import model_in_use, resolve_model
    from voxmmsd.offline.bundle import make_bundle

    models = [resolve_model(name) for name in config.models]
    if not models and (used := model_in_use()):
        models = [used]
    package = Path(config.package) if config.package else None
    out = require(config.out, "--out FILE.zip")
    made = make_bundle(out, models, target=config.platform, python=config.python, extras=config.extras, package=package)
    size = f"{counted(len(made.files), 'file')}, {out.stat().st_size / 2**20:.0f} MiB"
    size += f", models: {', '.join(made.models) or 'none'}"
    print(f"{out}: {size}; there, with Python {made.python} on {made.platform}: python {out.name}")


def _install(config: InstallBundleConfig) -> None:
    from voxmmsd.offline.install import install_bundle

    made = install_bundle(require(config.bundle, "BUNDLE.zip"))
    print(f"voxmmsd {made.version} is installed; models: {', '.join(made.models) or 'none'}")
    if made.models:
        print(f"put one in use: voxmmsd models accept {made.models[0]}")


VERB = Verb("bundle", "pack an offline installer for a machine without network access", BundleConfig, run)
INSTALL = Verb("install-bundle", "install an offline installer, without a package index", InstallBundleConfig, _install)
