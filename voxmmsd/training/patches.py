"""Sampling of training patches from labeled cases: position, dropped modalities, and the batch.

The position of a patch is a function of the seed and of its index in the sequence of all patches. A resumed run thus
sees the same patches as an uninterrupted one, and two processes together see the same as one with twice the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxmmsd.compute.processes import Processes
from voxmmsd.data.preprocess import input_scale
from voxmmsd.data.store import PreparedCase
from voxmmsd.losses.segmentation import EDITED_BIT
from voxmmsd.training.draws import Draw
from voxmmsd.training.residency import resident
from voxmmsd.transforms.elastic import Elastic
from voxmmsd.transforms.transform import PlaceTransform, Transform
from voxmmsd.views.intensity import IntensityRanges, change_intensity, draw_intensity
from voxmmsd.views.spatial import PatchPlace, SpatialRanges, cut_patch, draw_matrix

FEW_VOXELS = 1000  # 1 ml at 1 mm: specks of a label are not sought out while other cases have more of it
PLACES_PER_LABEL = 20_000  # enough to stand for a label; keeps hundreds of cases small in memory


@dataclass(frozen=True)
class PatchRecipe:
    """How batches are sampled; fields as in ``FinetuneConfig``."""

    size: int
    batch: int
    foreground: float
    modality_dropout: float
    augment: bool
    balance_cohorts: bool = False
    transforms: tuple[Transform | PlaceTransform, ...] = ()
    spatial: SpatialRanges = field(default_factory=SpatialRanges)
    intensity: IntensityRanges = field(default_factory=IntensityRanges)


class PatchSampler:
    """Draws batches from labeled, prepared cases.

    On a GPU the cases are kept in its memory if they fit, and patches are cut there: on one CPU core, rotating a patch
    takes longer than the GPU needs for the training step.
    """

    def __init__(
        self,
        entries: Sequence[PreparedCase],
        recipe: PatchRecipe,
        seed: int,
        processes: Processes = Processes(),  # noqa: B008 - frozen
        device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
    ) -> None:
        self.processes = processes
        self.entries = list(entries)
        self.recipe = recipe
        self.seed, self.device = seed, device
        self._of_places = [t for t in recipe.transforms if isinstance(t, PlaceTransform)]
        self._of_batches = [t for t in recipe.transforms if isinstance(t, Transform)]
        self._places: list[dict[int, np.ndarray]] = [{} for _ in self.entries]
        self._holders: dict[int, list[int]] = {}
        cohorts = sorted({entry.cohort for entry in self.entries})
        self._by_cohort = [[i for i, entry in enumerate(self.entries) if entry.cohort == name] for name in cohorts]
        self._holders_by_cohort: list[dict[int, list[int]]] = []  # of the cohorts with any tumor
        cases = {entry.id: entry for entry in self.entries}  # one that is drawn more often is held once
        self._scales = {id_: torch.from_numpy(input_scale(case.image())).to(device) for id_, case in cases.items()}
        edited = {id_: case.edited() for id_, case in cases.items()}
        self._marked = {id_: _with_bits(cases[id_], where) for id_, where in edited.items() if where is not None}
        arrays = resident([array for case in cases.values() for array in self._arrays(case)], device)
        self._resident = dict(zip(cases, zip(arrays[::2], arrays[1::2], strict=True), strict=True)) if arrays else {}
        self._find_labels()

    def batch(self, step: int, dropout_share: float = 1.0) -> tuple[Tensor, Tensor]:
        """Images ``(batch, 4, z, y, x)`` as ``input_scale`` has them and classes ``(batch, z, y, x)`` of a step.

        On the device of the sampler. ``dropout_share``: fraction of the recipe's modality dropout in effect. Voxels
        that a person edited have ``EDITED_BIT`` added to their class, in cases whose entry names a file of origins.
        """
        first = (step * self.processes.size + self.processes.rank) * self.recipe.batch
        patches = [self._patch(first + item, dropout_share) for item in range(self.recipe.batch)]
        image, label = (torch.stack(tensors) for tensors in zip(*patches, strict=True))
        rng = np.random.default_rng([self.seed, Draw.INTENSITY, first])
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        for transform in self._of_batches:
            drawn = transform.draw(image.shape, generator)
            if self._marked and not isinstance(transform, Elastic):  # which moves whole labels, as they are
                image, label = _with_marks_kept(transform, image, label, drawn)
            else:
                image, label = transform.apply(image, label, drawn)
        if self.recipe.augment:
            image = change_intensity(image, draw_intensity(image.shape, self.recipe.intensity, generator))
        return image, label

    def _patch(self, position: int, dropout_share: float) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, Draw.PATCH, position])
        wants_foreground = rng.random() < self.recipe.foreground
        matrix = self._matrix(rng, position)
        index, center = self._tumor_place(rng) if wants_foreground and self._holders else self._any_place(rng, position)
        entry = self.entries[index]
        held, held_label = self._resident.get(entry.id) or self._arrays(entry)
        patch = cut_patch(held, held_label, PatchPlace(center, matrix), self.recipe.size)
        image, label = (tensor.to(self.device) for tensor in patch)
        image *= self._scales[entry.id][:, None, None, None]
        if rng.random() < dropout_share * self.recipe.modality_dropout:
            for channel in np.flatnonzero(~draw_kept(entry.present, rng)).tolist():
                image[channel] = 0
        return image, label

    def _matrix(self, rng: np.random.Generator, position: int) -> np.ndarray:
        """From patch offsets to case offsets; the listed transforms leave the draws of the others as they are."""
        matrix = draw_matrix(self.recipe.spatial, rng) if self.recipe.augment else np.eye(3)
        listed = np.random.default_rng([self.seed, Draw.LISTED_TRANSFORMS, position])
        for transform in self._of_places:
            matrix = transform.draw_matrix(listed) @ matrix
        return matrix

    def _arrays(self, entry: PreparedCase) -> tuple[np.ndarray, np.ndarray]:
        return entry.image(), self._marked[entry.id] if entry.id in self._marked else entry.label()

    def _tumor_place(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Draw a label, then a case that has it, then one of its voxels: rare labels are seen as often as others.
        With balanced cohorts, draw a data set first."""
        holders = self._holders
        if self.recipe.balance_cohorts:
            holders = self._holders_by_cohort[int(rng.integers(len(self._holders_by_cohort)))]
        label = sorted(holders)[int(rng.integers(len(holders)))]
        index = holders[label][int(rng.integers(len(holders[label])))]
        places = self._places[index][label]
        return index, self._inside(index, places[int(rng.integers(len(places)))])

    def _any_place(self, rng: np.random.Generator, position: int) -> tuple[int, np.ndarray]:
        """A random position in the next case; the order is redrawn for each epoch, so all are seen equally often.

        With balanced cohorts, all data sets are seen equally often instead."""
        if self.recipe.balance_cohorts:
            cases = self._by_cohort[int(rng.integers(len(self._by_cohort)))]
            index = cases[int(rng.integers(len(cases)))]
        else:
            turn, place = divmod(position, len(self.entries))
            index = int(np.random.default_rng([self.seed, Draw.CASE_ORDER, turn]).permutation(len(self.entries))[place])
        shape = self.entries[index].shape_czyx[1:]
        return index, self._inside(index, np.floor(rng.uniform(0, shape)))

    def _inside(self, index: int, center: np.ndarray) -> np.ndarray:
        """``center``, shifted so that the patch is inside the case if it fits."""
        shape, half = np.array(self.entries[index].shape_czyx[1:]), self.recipe.size / 2
        return np.clip(center, np.minimum(half, shape / 2), np.maximum(shape - half, shape / 2))

    def _find_labels(self) -> None:
        """Voxels ``(n, 3)`` of each label in each case, and for each label the cases with enough voxels of it."""
        for index, entry in enumerate(self.entries):
            label = np.asarray(entry.label())
            rng = np.random.default_rng([self.seed, Draw.KEPT_PLACES, index])
            for value in np.unique(label[label > 0]).tolist():
                places = np.argwhere(label == value).astype(np.int16)
                if len(places) > PLACES_PER_LABEL:
                    places = rng.choice(places, PLACES_PER_LABEL, replace=False)
                self._places[index][value] = places
        self._holders = self._holders_among(range(len(self.entries)))
        held = [self._holders_among(cases) for cases in self._by_cohort]
        self._holders_by_cohort = [holders for holders in held if holders]

    def _holders_among(self, cases: Iterable[int]) -> dict[int, list[int]]:
        """For each label of these cases, those with enough voxels of it; all that have it if none has enough."""
        found: dict[int, list[int]] = {}
        for value in {value for index in cases for value in self._places[index]}:
            counts = {index: len(self._places[index][value]) for index in cases if value in self._places[index]}
            enough = [index for index, count in counts.items() if count >= FEW_VOXELS]
            found[value] = enough or list(counts)
        return found


def _with_bits(entry: PreparedCase, edited: np.ndarray) -> np.ndarray:
    return np.where(edited, np.uint8(EDITED_BIT), np.uint8(0)) | entry.label()


def _with_marks_kept(transform: Transform, image: Tensor, label: Tensor, drawn: Any) -> tuple[Tensor, Tensor]:
    """A transform of labels with ``EDITED_BIT``, which it does not see; a voxel that gets another class loses it."""
    plain = label % EDITED_BIT
    image, changed = transform.apply(image, plain, drawn)
    return image, torch.where(changed == plain, label, changed)


def draw_kept(present: Sequence[bool], rng: np.random.Generator) -> np.ndarray:
    """A random proper, non-empty subset of the present modalities, all such subsets equally likely: ``(4,)`` bool.

    A case of a single modality keeps it.
    """
    has = np.flatnonzero(present)
    kept = np.zeros(len(present), bool)
    code = int(rng.integers(1, 2 ** len(has) - 1)) if len(has) > 1 else 1
    kept[has] = [(code >> bit) & 1 == 1 for bit in range(len(has))]
    return kept
