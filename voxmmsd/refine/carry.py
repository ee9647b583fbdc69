"""Carry edits through a volume: which voxels follow what the edits teach, and which stay.

A voxel outside the edits changes where the regression, with what it learned, prefers another label than the network
did, and prefers it the more clearly the farther the voxel lies from the edits: by one nat of log-odds for every
``reach_mm``, and none farther than ``farthest_mm``. Specks of changes fall back, small holes that a change leaves in
the tumor are filled, locked labels keep their voxels, and edited voxels and reviewed planes stay exactly as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np
from scipy import ndimage
from scipy.special import softmax

from voxmmsd.concurrency import both
from voxmmsd.data.volume import Grid, Volume, bounding_box, resample, resampling_is_exact
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.inference.clean_up import without_small
from voxmmsd.labels import CARRIED, PREDICTED, LabelSchema
from voxmmsd.refine.evidence import Evidence, distance_mm, inside_of, places_on
from voxmmsd.refine.features import CaseFeatures
from voxmmsd.refine.fitting import Fit, FitSettings, fit, scores

_NEVER = -1e4  # logit of what the network does not know


@dataclass(frozen=True)
class CarrySettings:
    """What follows an edit; chosen on cases that the network has not learned (``benchmarks/refine.py``)."""

    reach_mm: float = 40.0
    farthest_mm: float = 80.0
    smallest_ml: float = 0.05
    fitting: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True)
class Refined:
    """A case with its edits carried through, on the result's grid.

    ``label_zyx``: class indices uint8. ``origin_zyx``: PREDICTED, EDITED or CARRIED, uint8. ``agreement``: share of the
    edited voxels that the regression reproduces; a low one says that the edits follow nothing that can be seen in the
    images. ``evidence``: what it was made from.
    """

    label_zyx: np.ndarray
    origin_zyx: np.ndarray
    agreement: float
    evidence: Evidence

    @property
    def carried_voxels(self) -> int:
        return int((self.origin_zyx == CARRIED).sum())


def refine(
    features: CaseFeatures,
    evidence: Evidence,
    schema: LabelSchema,
    *,
    locked: Sequence[str] = (),
    settings: CarrySettings | None = None,
    at_once: bool = True,
) -> Refined:
    """Carry a case's edits through its volume; the same input gives the same labels.

    ``schema``: of the edits; the network's classes, or these and further ones, which are learned from the edits alone.
    ``locked``: keys of labels of which no voxel outside the edits is added or taken away.
    ``at_once``: what does not need each other is computed side by side.

    Raises:
        ConfigError: no such label.
        InputError: the edits lie outside the brain.
    """
    settings = settings or CarrySettings()
    frozen = locked_indices(locked, schema)
    measure = partial(distance_mm, evidence.edited_zyx, evidence.grid, features.grid)
    distance, _ = both(measure, lambda: features.levels, at_once)  # which are computed once
    if distance is None:
        raise InputError("no edit lies inside the brain that the network saw", "edit there, or check the brain mask")
    further = range(len(features.logits_czyx), schema.class_count)
    logits = features.logits_czyx.astype(np.float32)
    painted = evidence.label_zyx[evidence.edited_zyx]
    features = with_classes(features, [bool((painted == index).any()) for index in further])
    fitted = fit(features, evidence, settings.fitting, distance, at_once)
    tissue = features.image_czyx.any(axis=0)
    before = np.where(tissue, logits.argmax(axis=0), 0).astype(np.uint8)
    learned = features.logits_czyx + scores(features, fitted, at_once)
    logits = np.pad(logits, ((0, len(further)), (0, 0), (0, 0), (0, 0)), constant_values=_NEVER)
    after = np.where(tissue, learned.argmax(axis=0), 0).astype(np.uint8)
    follows = _follows(learned, before, after, distance, settings)
    follows &= ~(np.isin(before, frozen) | np.isin(after, frozen))
    if not evidence.planes:
        follows &= _painted(evidence, features.grid, before, schema.class_count)[before, after]
    after = _cleaned(np.where(follows, after, before), before, schema, features.grid, settings.smallest_ml)
    return _on_result(evidence, fitted, features.grid, before, after, logits, learned, frozen)


def with_classes(features: CaseFeatures, painted: Sequence[bool]) -> CaseFeatures:
    """With logits of further classes, which the network does not know: as high as that of what it says.

    So a new class needs no more than the edits' odds to win, wherever it is, however sure the network was.
    ``painted``: whether the edits show what each of them looks like; one that they do not show is found nowhere.
    """
    if not painted:
        return features
    logits = features.logits_czyx
    highest = logits.max(axis=0)
    more = [highest if shown else np.full_like(highest, _NEVER) for shown in painted]
    return replace(features, logits_czyx=np.concatenate([logits, more]))


def locked_indices(keys: Sequence[str], schema: LabelSchema) -> list[int]:
    """Class indices of labels by key.

    Raises:
        ConfigError: no such label.
    """
    known = [label.key for label in schema.labels]
    if unknown := [key for key in keys if key not in known]:
        raise ConfigError(
            f"--locked {' '.join(unknown)}: the model has no such label", f"its labels are {', '.join(known)}"
        )
    return [known.index(key) + 1 for key in keys]


def _follows(
    learned: np.ndarray, before: np.ndarray, after: np.ndarray, distance: np.ndarray, settings: CarrySettings
) -> np.ndarray:
    """Where the new label is preferred to the old one clearly enough for the distance from the edits; bool."""
    new = np.take_along_axis(learned, after[None], 0)[0]
    old = np.take_along_axis(learned, before[None], 0)[0]
    return (after != before) & (new - old >= distance / settings.reach_mm) & (distance <= settings.farthest_mm)


def _painted(evidence: Evidence, grid: Grid, before: np.ndarray, classes: int) -> np.ndarray:
    """Which labels of the network (rows) the edits replace by which others (columns); bool.

    Strokes say that some A is B. That another C should be D, they do not, however alike it looks.
    """
    voxels = np.argwhere(evidence.edited_zyx)
    places = places_on(grid, voxels, evidence.grid)
    inside = inside_of(grid, places)
    found = np.zeros((classes, classes), bool)
    at = tuple(np.rint(places[inside]).astype(int).T)
    found[before[at], evidence.label_zyx[tuple(voxels[inside].T)]] = True
    return found


def _cleaned(label: np.ndarray, before: np.ndarray, schema: LabelSchema, grid: Grid, smallest_ml: float) -> np.ndarray:
    """Without specks among the changes, and without small holes that changes left in the tumor."""
    box = bounding_box((label > 0) | (before > 0), margin=1)
    if box is None:
        return label
    cleaned = label.copy()
    cleaned[box] = _cleaned_in_box(label[box], before[box], schema, grid, smallest_ml)
    return cleaned


def _cleaned_in_box(
    label: np.ndarray, before: np.ndarray, schema: LabelSchema, grid: Grid, smallest_ml: float
) -> np.ndarray:
    tidy, _ = without_small(label, schema, grid, {one.key: smallest_ml for one in schema.labels})
    label = np.where(label != before, tidy, label)
    holes = ndimage.binary_fill_holes(label > 0) & (label == 0) & ~ndimage.binary_fill_holes(before > 0)
    numbered, count = ndimage.label(holes)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1) * grid.voxel_volume_ml
    small = holes & (sizes[numbered] < 10 * smallest_ml)
    if small.any():
        nearest = ndimage.distance_transform_edt(label == 0, return_distances=False, return_indices=True)
        label = np.where(small, label[tuple(nearest)], label)
    return label.astype(np.uint8)


def _on_result(
    evidence: Evidence,
    fitted: Fit,
    grid: Grid,
    before: np.ndarray,
    after: np.ndarray,
    logits: np.ndarray,
    learned: np.ndarray,
    frozen: list[int],
) -> Refined:
    """The changes brought to the result's grid, under what was edited there."""
    target = evidence.grid
    old, new = (np.zeros(target.shape_zyx, np.uint8) for _ in range(2))  # alike where nothing can change
    box = _box_on(target, grid, after != before, evidence.origin_zyx == CARRIED)
    inner = target.crop(*_start_and_shape(box))
    if resampling_is_exact(grid, inner):
        old[box], new[box] = (resample(Volume(one, grid), inner, order=0).array for one in (before, after))
    else:
        chosen = np.where(after != before, learned, logits)
        old[box] = _carried_linearly(logits, before, grid, inner)
        new[box] = _carried_linearly(chosen, after, grid, inner)
    now, earlier = evidence.label_zyx, evidence.origin_zyx
    stays = evidence.fixed_zyx | np.isin(now, frozen)
    again = (earlier == CARRIED) & ~np.isin(old, frozen)  # what was carried before is decided again
    start = np.where(again, old, now)
    moved = (new != old) & ~np.isin(start, frozen) & ~np.isin(new, frozen)
    label = np.where(stays, now, np.where(moved, new, start)).astype(np.uint8)
    origin = np.where(moved, CARRIED, np.where(again, PREDICTED, earlier)).astype(np.uint8)
    origin[stays] = earlier[stays]
    return Refined(label, origin, fitted.agreement, evidence)


def _box_on(target: Grid, grid: Grid, changed: np.ndarray, carried: np.ndarray) -> tuple[slice, slice, slice]:
    """Where on ``target`` anything can change: around changes on ``grid``, and where voxels were carried before."""
    corners = [np.argwhere(carried)]
    if changed.any():
        (around,) = ndimage.find_objects(changed.astype(np.uint8))
        ends = np.array(list(product(*((each.start - 1.5, each.stop + 0.5) for each in around))))
        corners.append(places_on(target, ends, grid))
    points = np.concatenate(corners)
    if not len(points):
        return slice(0, 1), slice(0, 1), slice(0, 1)
    first = np.clip(np.floor(points.min(axis=0)), 0, np.array(target.shape_zyx) - 1).astype(int)
    last = np.clip(np.ceil(points.max(axis=0)), first, np.array(target.shape_zyx) - 1).astype(int)
    z, y, x = (slice(int(low), int(high) + 1) for low, high in zip(first, last, strict=True))
    return z, y, x


def _start_and_shape(box: tuple[slice, slice, slice]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    z, y, x = box
    return (z.start, y.start, x.start), (z.stop - z.start, y.stop - y.start, x.stop - x.start)


def _carried_linearly(scores_czyx: np.ndarray, label: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """Labels on a grid of other voxels: the class of the largest share, interpolated, as segmenting does it."""
    shares = softmax(scores_czyx, axis=0)
    said = shares.argmax(axis=0)
    shares = np.where((said != label)[None], np.arange(len(shares))[:, None, None, None] == label[None], shares)
    best, found = np.zeros(target.shape_zyx, np.float32), np.zeros(target.shape_zyx, np.uint8)
    covered = np.zeros(target.shape_zyx, np.float32)
    for index, share in enumerate(shares[1:], start=1):
        moved = resample(Volume(share.astype(np.float32), grid), target).array
        found[moved > best] = index
        np.maximum(best, moved, out=best)
        covered += moved
    found[1 - covered >= best] = 0
    return found
