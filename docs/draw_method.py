"""Draw the figures of docs/method.md with the functions that training calls: ``python docs/draw_method.py [CASES ID]``.

CASES is a folder of cases and ID one of them; without them a synthetic patient is made. ``--out DIR`` says where to.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from voxmmsd.colors import LINE_COLORS
from voxmmsd.data.cases import find_cases
from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.reading import read_case
from voxmmsd.evaluation.pictures import save_figure
from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.phantom import make_phantom, write_phantom
from voxmmsd.views.pairs import PairRecipe, VoxelPairs, draw_pairs
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import MaskRecipe, SiameseBlocks, SiameseViews, clean_blocks, draw_corners, make_views

SIDE, AROUND, SHOWN = 96, 12, 6
NAMES = [MODALITY_NAMES[modality] for modality in MODALITIES]


@dataclass(frozen=True)
class Drawn:
    """A case's two blocks, what is seen of them, and their pairs."""

    image_czyx: np.ndarray
    blocks: SiameseBlocks
    views: SiameseViews
    pairs: VoxelPairs


def draw_blocks_and_pairs(image_czyx: np.ndarray) -> Drawn:
    """As a step of pre-training draws them, of a prepared ``(4, z, y, x)`` uint8 case."""
    missing = np.maximum(SIDE - np.array(image_czyx.shape[1:]), 0)
    image_czyx = np.pad(image_czyx, [(0, 0), *((0, more) for more in missing)])
    corners = draw_corners([image_czyx.shape[1:]], SIDE, np.random.default_rng(4))
    raw = np.stack([_block(image_czyx, corner) for corner in corners[:, 0]])
    blocks = clean_blocks(torch.from_numpy(raw), torch.from_numpy(corners), torch.ones(1, 4, dtype=torch.bool))
    recipe, generator = MaskRecipe(), torch.Generator().manual_seed(5)
    views = make_views(blocks, recipe, PretrainIntensityRanges(), generator)
    return Drawn(image_czyx, blocks, views, draw_pairs(blocks, views, recipe.cell, PairRecipe(), generator))


def _block(image_czyx: np.ndarray, corner: np.ndarray) -> np.ndarray:
    z, y, x = corner
    return image_czyx[:, z : z + SIDE, y : y + SIDE, x : x + SIDE]


def masks_figure(drawn: Drawn, file: Path) -> None:
    """Two blocks, clean and as the network sees them: a row each, a column per modality."""
    clean, seen = drawn.blocks.image.numpy(), drawn.views.image.numpy()
    rows = [("block 1", clean[0]), ("as seen", seen[0]), ("block 2", clean[1]), ("as seen", seen[1])]
    figure = Figure((8, 8), layout="constrained", facecolor="white")
    for line, (name, block) in zip(figure.subplots(4, 4), rows, strict=True):
        for panel, modality, channel in zip(line, NAMES, block, strict=True):
            _show(panel, channel[SIDE // 2])
            if name == "block 1":
                panel.set_title(modality, fontsize=11)
        line[0].set_ylabel(name, fontsize=11)
    save_figure(figure, file)


def pairs_figure(drawn: Drawn, file: Path) -> None:
    """Where the blocks lie in the brain, and some pairs: the same place in both views, each in its own modality."""
    figure = Figure((9, 3.6), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.1))
    overview = left.subplots()
    corners = drawn.blocks.corners[:, 0].numpy()
    _show(overview, drawn.image_czyx[3, corners.max(axis=0)[0] + SIDE // 4], vmax=255)
    for number, ((_, y, x), color) in enumerate(zip(corners, LINE_COLORS, strict=False), start=1):
        look = {"fill": False, "linewidth": 2, "edgecolor": [part / 255 for part in color], "label": f"block {number}"}
        overview.add_patch(Rectangle((x, y), SIDE, SIDE, **look))
    overview.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    panels = right.subplots(2, SHOWN)
    for column, pair in enumerate(_spread(drawn.pairs)):
        for view, panel in enumerate(panels[:, column]):
            place, modality = drawn.pairs.places[view, pair].numpy(), int(drawn.pairs.modalities[view, pair])
            _show(panel, _surroundings(drawn.blocks.image[view, modality].numpy(), place))
            panel.plot(AROUND, AROUND, "+", color="#e66100", markersize=9, markeredgewidth=2)
            panel.set_title(NAMES[modality], fontsize=10)
    for view, panel in enumerate(panels[:, 0], start=1):
        panel.set_ylabel(f"block {view}", fontsize=11)
    save_figure(figure, file)


def _spread(pairs: VoxelPairs) -> list[int]:
    """Some pairs of two modalities, away from the rims of both blocks."""
    inside = ((pairs.places >= AROUND) & (pairs.places < SIDE - AROUND)).all(dim=2).all(dim=0)
    good = inside & (pairs.modalities[0] != pairs.modalities[1]) & (pairs.weight[0] > 0)
    return good.nonzero()[:, 0][:SHOWN].tolist()


def _surroundings(block_zyx: np.ndarray, place: np.ndarray) -> np.ndarray:
    z, y, x = place
    return block_zyx[z, y - AROUND : y + AROUND + 1, x - AROUND : x + AROUND + 1]


def _show(panel, picture: np.ndarray, vmax: float = 1) -> None:
    panel.imshow(picture, cmap="gray", vmin=0, vmax=vmax, origin="lower")
    panel.set(xticks=[], yticks=[])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="?", type=Path)
    parser.add_argument("id", nargs="?")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.cases is None:
            write_phantom(make_phantom(7, (128, 128, 128)), Path(folder), "phantom-007")
        cases = find_cases(given.cases or Path(folder)).cases
        case = next(case for case in cases if given.id in (None, case.id))
        drawn = draw_blocks_and_pairs(Preprocess().apply(read_case(case, with_label=False)).image_czyx)
    masks_figure(drawn, given.out / "method.png")
    pairs_figure(drawn, given.out / "method-pairs.png")


if __name__ == "__main__":
    main()
