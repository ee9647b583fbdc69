"""The options of ``refine``. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxmmsd.config import BRAIN_MASK, Affects, option


@dataclass(frozen=True)
class RefineConfig:
    result: str = option(
        "", "a result of segment or refine, CASEID-voxmmsd.nii.gz", affects=Affects.INPUT, positional=True
    )
    edited: tuple[str, ...] = option(
        (), "the edited labels, on the result's grid; one file per reader", affects=Affects.INPUT
    )
    out: str = option("", "folder of the new result", affects=Affects.PLACE)
    reviewed: tuple[str, ...] = option(
        (), "planes that were reviewed completely, such as axial:60 coronal:71-73, or strokes (default: from the edits)"
    )
    locked: tuple[str, ...] = option((), "labels that nothing is carried to or from, such as ET")
    new_label: str = option(
        "", "a tissue that the model does not know and its value in the edited labels, such as RC=5: learned from these"
    )
    case: str = option("", "the case's folder (default: where it was segmented from)", affects=Affects.INPUT)
    brain_mask: str = option("", BRAIN_MASK + " (default: as it was segmented)", affects=Affects.INPUT)
    model: str = option("", "model name, package folder or zip (default: the one that made the result)")
    features: str = option("", "file to keep the case's features in (.npz), for the next round")
    memory: str = option("", "memory it may take in all, such as 4G (default: most of what is free)")
    threads: int = option(0, "CPU threads (0: all cores)", range=(0, math.inf), affects=Affects.SPEED)
