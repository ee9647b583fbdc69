"""Skull-stripping programs, and which are installed. Standard library only, since the panel asks when it opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stripper:
    """A skull-stripping program: ``arguments`` for an image and a result file, and the file of its mask."""

    title: str
    programs: tuple[str, ...]
    arguments: Callable[[Path, Path], list[str]]
    mask: Callable[[Path], Path]
    way: str

    def program(self) -> str | None:
        """Path of the first installed executable."""
        return next((found for name in self.programs if (found := shutil.which(name))), None)


STRIPPERS = {
    "hd-bet": Stripper(
        "HD-BET",
        ("hd-bet",),
        lambda image, out: ["-i", str(image), "-o", str(out), "-device", "cpu", "--disable_tta", "--save_bet_mask"],
        lambda out: out.with_name(out.name.removesuffix(".nii.gz") + "_bet.nii.gz"),
        "pip install hd-bet, in an environment of its own",
    ),
    "synthstrip": Stripper(
        "SynthStrip",
        ("mri_synthstrip", "synthstrip-docker", "synthstrip-singularity"),
        lambda image, out: ["-i", str(image), "-o", str(out), "-m", str(out.with_name("mask.nii.gz"))],
        lambda out: out.with_name("mask.nii.gz"),
        "install FreeSurfer 7.3 or later, or its container",
    ),
}


def installed() -> tuple[str, ...]:
    """Names of the installed programs."""
    return tuple(word for word, stripper in STRIPPERS.items() if stripper.program())
