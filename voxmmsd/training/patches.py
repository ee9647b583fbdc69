"""Training patches of labelled cases: where to cut, which modalities to lose, and the batch that comes of it.

Every draw is a function of the seed and the step alone, so that a resumed run sees what an uninterrupted one sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from voxmmsd.data.store import Entry
from voxmmsd.views.intensity import IntensityRanges, change_intensity, draw_intensity
from voxmmsd.views.spatial import PatchPlace, SpatialRanges, cut_patch, draw_matrix

PLACES_PER_LABEL = 20_000  # enough to stand for a label; keeps hundreds of cases small in memory


@dataclass(frozen=True)
class PatchRecipe:
    """What a batch is made of; fields as in ``FinetuneConfig``."""

    size: int
    batch: int
    foreground: float
    modality_dropout: float
    augment: bool
    spatial: SpatialRanges = field(default_factory=SpatialRanges)
    intensity: IntensityRanges = field(default_factory=IntensityRanges)


class PatchSampler:
    """Draws batches from labelled, prepared cases."""

    def __init__(self, entries: Sequence[Entry], recipe: PatchRecipe, seed: int) -> None:
        self.entries = list(entries)
        self.recipe = recipe
        self.seed = seed
        self._places: dict[int, list[np.ndarray]] = {}

    def batch(self, step: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """The batch of a step: images ``(batch, 4, z, y, x)`` float32 in [0, 1], class indices ``(batch, z, y, x)``."""
        rng = np.random.default_rng([self.seed, step])
        patches = [self._patch(rng, step * self.recipe.batch + item) for item in range(self.recipe.batch)]
        image = torch.from_numpy(np.stack([image for image, _ in patches])).to(device)
        label = torch.from_numpy(np.stack([label for _, label in patches])).to(device)
        if self.recipe.augment:
            generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
            image = change_intensity(image, draw_intensity(image.shape, self.recipe.intensity, generator))
        return image, label

    def _patch(self, rng: np.random.Generator, position: int) -> tuple[np.ndarray, np.ndarray]:
        index = self._case_at(position)
        entry = self.entries[index]
        wants_foreground = rng.random() < self.recipe.foreground
        matrix = draw_matrix(self.recipe.spatial, rng) if self.recipe.augment else np.eye(3)
        center = self._center(index, rng, wants_foreground)
        image, label = cut_patch(entry.image(), entry.label(), PatchPlace(center, matrix), self.recipe.size)
        if rng.random() < self.recipe.modality_dropout:
            image[~draw_kept(entry.present, rng)] = 0
        return image, label

    def _case_at(self, position: int) -> int:
        """Cases in an order drawn anew for each round: all are seen equally often."""
        turn, place = divmod(position, len(self.entries))
        return int(np.random.default_rng([self.seed, 0xCA5E, turn]).permutation(len(self.entries))[place])

    def _center(self, index: int, rng: np.random.Generator, wants_foreground: bool) -> np.ndarray:
        """A tumor voxel of a label drawn first (rare labels are then seen), or any place; moved so the patch fits."""
        shape = np.array(self.entries[index].shape_czyx[1:])
        half = self.recipe.size / 2
        low, high = np.minimum(half, shape / 2), np.maximum(shape - half, shape / 2)
        places = self._foreground(index)
        if wants_foreground and places:
            chosen = places[int(rng.integers(len(places)))]
            return np.clip(chosen[int(rng.integers(len(chosen)))], low, high)
        return np.floor(rng.uniform(low, high + 1e-9))

    def _foreground(self, index: int) -> list[np.ndarray]:
        """Voxels ``(n, 3)`` of each label that the case has, at most ``PLACES_PER_LABEL`` of each."""
        if index not in self._places:
            label = np.asarray(self.entries[index].label())
            rng = np.random.default_rng([self.seed, 0xF07E, index])
            found = [np.argwhere(label == value).astype(np.int16) for value in np.unique(label[label > 0])]
            self._places[index] = [
                places if len(places) <= PLACES_PER_LABEL else rng.choice(places, PLACES_PER_LABEL, replace=False)
                for places in found
            ]
        return self._places[index]


def draw_kept(present: Sequence[bool], rng: np.random.Generator) -> np.ndarray:
    """A random proper, non-empty subset of the present modalities, all such subsets equally likely: ``(4,)`` bool.

    A case of a single modality keeps it.
    """
    has = np.flatnonzero(present)
    kept = np.zeros(len(present), bool)
    code = int(rng.integers(1, 2 ** len(has) - 1)) if len(has) > 1 else 1
    kept[has] = [(code >> bit) & 1 == 1 for bit in range(len(has))]
    return kept
