"""``voxmmsd phantom``: write synthetic patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxmmsd.config import SPACING_MM, Affects, option
from voxmmsd.verbs.verb import Verb, require
from voxmmsd.wording import counted


@dataclass(frozen=True)
class PhantomConfig:
    folder: str = option("", "output folder for the synthetic patients", affects=Affects.PLACE, positional=True)
    count: int = option(3, "number of patients", range=(1, math.inf))
    seed: int = option(0, "random seed", range=(0, math.inf))
    shape: int = option(96, "voxels along each side")
    spacing: float = option(1.0, "voxel size in mm", range=SPACING_MM)


def run(config: PhantomConfig) -> None:
    from voxmmsd.phantom import write_phantoms

    written = write_phantoms(require(config.folder, "FOLDER"), config.count, config.seed, config.shape, config.spacing)
    kept = config.count - len(written)
    print(
        f"wrote {counted(len(written), 'synthetic patient')} to {config.folder}"
        + (f"; {kept} were there" if kept else "")
    )


VERB = Verb("phantom", "write synthetic patients with known tumors", PhantomConfig, run)
