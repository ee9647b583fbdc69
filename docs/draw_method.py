"""Draw docs/method.png: two blocks of a synthetic patient, clean and as the network sees them in training."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.reading import read_case
from voxmmsd.evaluation.pictures import save_figure
from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.phantom import make_phantom, write_phantom
from voxmmsd.views.disturbance import DisturbanceRanges
from voxmmsd.views.siamese import MaskRecipe, clean_blocks, draw_corners, make_views

SIDE = 64


def main(out: Path, place: Path) -> None:
    """Write ``out``; the patient is written under ``place`` and read as any other."""
    from voxmmsd.data.cases import find_cases

    write_phantom(make_phantom(7, (96, 96, 96)), place, "phantom-007")
    prepared = Preprocess().apply(read_case(find_cases(place).cases[0], with_label=False))
    corners = draw_corners([prepared.image_czyx.shape[1:]], SIDE, np.random.default_rng(3))
    raw = np.stack([_block(prepared.image_czyx, corner) for corner in corners[:, 0]])
    blocks = clean_blocks(torch.from_numpy(raw), torch.from_numpy(corners), torch.ones(1, 4, dtype=torch.bool))
    seen = make_views(blocks, MaskRecipe(), DisturbanceRanges(), torch.Generator().manual_seed(5))
    _draw(blocks.image.numpy(), seen.image.numpy(), out)


def _block(image_czyx: np.ndarray, corner: np.ndarray) -> np.ndarray:
    z, y, x = corner
    return image_czyx[:, z : z + SIDE, y : y + SIDE, x : x + SIDE]


def _draw(clean: np.ndarray, seen: np.ndarray, out: Path) -> None:
    rows = [("block 1", clean[0]), ("as seen", seen[0]), ("block 2", clean[1]), ("as seen", seen[1])]
    figure = Figure((8, 8), layout="constrained", facecolor="white")
    for line, (name, block) in zip(figure.subplots(4, 4), rows, strict=True):
        for panel, modality, channel in zip(line, MODALITIES, block, strict=True):
            panel.imshow(channel[SIDE // 2], cmap="gray", vmin=0, vmax=1, origin="lower")
            panel.set(xticks=[], yticks=[])
            if name == "block 1":
                panel.set_title(MODALITY_NAMES[modality], fontsize=11)
        line[0].set_ylabel(name, fontsize=11)
    save_figure(figure, out)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/method.png"), Path(folder))
