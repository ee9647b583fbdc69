"""What edits teach: a multinomial logistic regression over voxel features, with the network's own logits as offset.

Without edits it would say what the network says. Its few hundred weights are fitted to the edited voxels, to those
that were looked at and left alone, and, so that the rest of the volume stays as it is, to a random sample of the others
with the network's label, which weighs less. numpy and SciPy only; the same input gives the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

from voxmmsd.concurrency import mapped
from voxmmsd.refine.evidence import Evidence, distance_mm, inside_of, places_on
from voxmmsd.refine.features import CaseFeatures

NEAR_MM = 10.0


@dataclass(frozen=True)
class FitSettings:
    """How the regression is fitted; chosen on cases that the network has not learned (``benchmarks/refine.py``)."""

    others: int = 16_000  # random voxels with the network's label
    near_tumor: float = 0.5  # share of them within NEAR_MM of what the network calls tumor
    others_weight: float = 0.3  # against an edited voxel's 1
    apart_mm: float = 12.0  # no others are drawn nearer to an edit in a reviewed plane: its neighbors may be wrong, too
    apart_of_strokes_mm: float = 0.0  # the same for strokes, beside which nothing else says where they end
    most_evidence: int = 30_000  # voxels edited, and as many left alone; more are thinned at random
    penalty: float = 50.0  # half of it times the squared weights is added to the loss
    penalty_of_strokes: float = 0.15  # where there are strokes alone: times their voxels, but within these two
    lowest_penalty: float = 10.0
    iterations: int = 60


@dataclass(frozen=True)
class Fit:
    """What is to be added to the logits: ``weights``, one ``(channel, class)`` per level of features, and ``bias``.

    ``agreement``: share of the edited voxels that the regression gives their label.
    """

    weights: tuple[np.ndarray, ...]
    bias: np.ndarray
    agreement: float


@dataclass(frozen=True)
class Samples:
    """Places in the features' grid, ``(n, 3)`` float, their labels and weights."""

    places_zyx: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    edited: np.ndarray

    def where(self, mask: np.ndarray) -> Samples:
        return Samples(self.places_zyx[mask], self.labels[mask], self.weights[mask], self.edited[mask])

    def marked(self) -> Samples:
        """The same as edited by hand."""
        return replace(self, edited=np.ones(len(self.labels), bool))


def fit(
    features: CaseFeatures,
    evidence: Evidence,
    settings: FitSettings | None = None,
    distance: np.ndarray | None = None,
    at_once: bool = True,
) -> Fit:
    """Fit the regression to a case's evidence; less than a second on two cores.

    ``distance``: of each voxel of the features from the edits, in mm, if it is known already. ``at_once``: the levels
    side by side.
    """
    settings = settings or FitSettings()
    samples = draw_samples(features, evidence, settings, distance)
    if not (evidence.edited_zyx & ~evidence.strokes_zyx).any():
        voxels = samples.weights[samples.edited].sum()
        penalty = np.clip(settings.penalty_of_strokes * voxels, settings.lowest_penalty, settings.penalty)
        settings = replace(settings, penalty=float(penalty))
    parts = mapped(lambda level: interpolated(level[1], samples.places_zyx, level[0]), features.levels, at_once)
    offsets = interpolated(features.logits_czyx, samples.places_zyx, 1)
    design = np.concatenate(parts, axis=1)
    mean, spread = design.mean(axis=0), design.std(axis=0) + 1e-3
    design -= mean
    design /= spread
    weights, bias = _regression(design, offsets, samples, settings)
    agree = np.equal((offsets + design @ weights + bias).argmax(axis=1), samples.labels)
    agreement = np.average(agree, weights=samples.edited) if samples.edited.any() else 0.0
    weights /= spread[:, None]
    bias = bias - mean @ weights
    ends = np.cumsum([part.shape[1] for part in parts])
    return Fit(tuple(np.split(weights, ends[:-1])), bias, float(agreement))


def draw_samples(
    features: CaseFeatures, evidence: Evidence, settings: FitSettings, distance_of_edits: np.ndarray | None = None
) -> Samples:
    """Edited voxels, voxels of reviewed planes, and random others; all inside the tissue's box."""
    generator = np.random.default_rng(0)
    tissue = np.asarray(features.image_czyx.any(axis=0))
    edited = evidence.edited_zyx
    by_hand = _known(edited, features, evidence, settings, generator)
    left_alone = _known(evidence.fixed_zyx & ~edited, features, evidence, settings, generator)
    places = left_alone.places_zyx  # the air around the brain teaches nothing
    left_alone = left_alone.where(tissue[tuple(np.rint(places).astype(int).T)])
    strokes, free = evidence.strokes_zyx, tissue
    kinds = ((edited & ~strokes, settings.apart_mm), (strokes, settings.apart_of_strokes_mm))
    for mask, apart in (kind for kind in kinds if kind[1] and kind[0].any()):
        distance = distance_of_edits if (mask == edited).all() else None
        if distance is None:
            distance = distance_mm(mask, evidence.grid, features.grid)
        free = free if distance is None else free & (distance > apart)
    free = free.copy()
    for known in (by_hand, left_alone):
        free[tuple(np.rint(known.places_zyx).astype(int).T)] = False
    near_tumor = _near_tumor(features)
    around = round(settings.others * settings.near_tumor)
    others = np.concatenate(
        [
            _thinned(np.argwhere(free & near_tumor), around, generator),
            _thinned(np.argwhere(free & ~near_tumor), settings.others - around, generator),
        ]
    )
    said = features.logits_czyx[:, *others.T].argmax(axis=0).astype(np.uint8)
    rest = Samples(
        others.astype(float), said, np.full(len(others), settings.others_weight), np.zeros(len(others), bool)
    )
    parts = [by_hand.marked(), left_alone, rest]
    return Samples(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Samples)))


def _known(
    mask: np.ndarray, features: CaseFeatures, evidence: Evidence, settings: FitSettings, generator: np.random.Generator
) -> Samples:
    """Voxels of the result that are known, each weighing what it takes of a voxel that the network saw."""
    voxels = np.argwhere(mask)
    voxels = voxels[inside_of(features.grid, places_on(features.grid, voxels, evidence.grid))]
    kept = _thinned(voxels, settings.most_evidence, generator)
    weight = evidence.grid.voxel_volume_ml / features.grid.voxel_volume_ml * len(voxels) / max(1, len(kept))
    return Samples(
        places_on(features.grid, kept, evidence.grid),
        evidence.label_zyx[tuple(kept.T)],
        np.full(len(kept), weight),
        np.zeros(len(kept), bool),
    )


def _near_tumor(features: CaseFeatures) -> np.ndarray:
    """Within NEAR_MM of what the network calls tumor, by steps along the axes; bool."""
    tumor = features.logits_czyx.argmax(axis=0) > 0
    steps = max(1, round(NEAR_MM / min(features.grid.spacing_mm_zyx)))
    return ndimage.binary_dilation(tumor, iterations=steps) if tumor.any() else tumor


def _thinned(voxels: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """At most so many of the rows, at random, in their order."""
    return voxels if len(voxels) <= most else voxels[np.sort(generator.choice(len(voxels), most, replace=False))]


def _regression(
    design: np.ndarray, offsets: np.ndarray, samples: Samples, settings: FitSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``(feature, class)`` and bias ``(class,)`` that maximize the penalized likelihood, by L-BFGS."""
    count, classes = design.shape[1], offsets.shape[1]
    rows, each = np.arange(len(design)), samples.weights.astype(np.float32)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = np.split(flat.reshape(-1, classes).astype(np.float32), [count])
        scores = weights.T @ design.T  # (class, n): sums over the few classes are slow along the last axis
        scores += offsets.T
        scores += bias.T
        scores -= scores.max(axis=0)
        own = scores[samples.labels, rows]
        np.exp(scores, out=scores)
        total = scores.sum(axis=0)
        value = samples.weights @ (np.log(total) - own)
        scores /= total
        scores[samples.labels, rows] -= 1
        scores *= each
        slope = np.concatenate([(scores @ design).T + settings.penalty * weights, scores.sum(axis=1)[None]])
        return float(value + settings.penalty / 2 * (weights**2).sum()), slope.ravel().astype(np.float64)

    start = np.zeros((count + 1) * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": settings.iterations}).x
    weights, bias = np.split(found.reshape(-1, classes), [count])
    return weights, bias[0]


def interpolated(array_czyx: np.ndarray, places_zyx: np.ndarray, step: int) -> np.ndarray:
    """``(n, channel)`` float32: an array read linearly at places in voxels of a grid ``step`` times finer.

    Voxel ``i`` of the array covers the finer ones from ``step * i`` on; beyond the rim the rim's values hold.
    """
    shape = np.array(array_czyx.shape[1:])
    at = np.clip((places_zyx + 0.5) / step - 0.5, 0, shape - 1)
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)
    found = np.zeros((len(places_zyx), len(array_czyx)), np.float32)
    for corner in product((0, 1), repeat=3):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        used = np.flatnonzero(weight)
        if used.size:
            z, y, x = np.minimum(low[used] + corner, shape - 1).T
            found[used] += array_czyx[:, z, y, x].T * weight[used, None]
    return found


def scores(features: CaseFeatures, fitted: Fit, at_once: bool = True) -> np.ndarray:
    """What the regression adds to the logits, ``(class, z, y, x)`` float32 over the features' grid.

    Being linear, it is computed at each level's own size and enlarged after that: thirty times less work.
    """
    shape = features.grid.shape_zyx
    total = np.zeros((len(fitted.bias), *shape), np.float32)
    total += fitted.bias[:, None, None, None].astype(np.float32)

    def of_level(number: int) -> np.ndarray:
        step, array = features.levels[number]
        return enlarged(_by_slabs(array, fitted.weights[number].astype(np.float32)), step)

    for part in mapped(of_level, range(len(features.levels)), at_once):
        total += part
    return total


def _by_slabs(array: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``weights.T @ array`` over the channels, plane by plane: a whole level in float32 would take its size twice."""
    out = np.zeros((weights.shape[1], *array.shape[1:]), np.float32)
    for slab in _slabs(array.shape[1]):
        out[:, slab] = np.tensordot(weights.T, array[:, slab].astype(np.float32), axes=1)
    return out


def _slabs(length: int, thick: int = 16) -> Iterator[slice]:
    for first in range(0, length, thick):
        yield slice(first, first + thick)


def enlarged(array_czyx: np.ndarray, step: int) -> np.ndarray:
    """Linearly to sides ``step`` times longer, as ``interpolated`` reads."""
    if step == 1:
        return array_czyx
    for axis in (1, 2, 3):
        length = array_czyx.shape[axis]
        at = np.clip((np.arange(length * step) + 0.5) / step - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
        upper = np.take(array_czyx, np.minimum(low + 1, length - 1), axis)
        lower = np.take(array_czyx, low, axis)
        array_czyx = lower + share * (upper - lower)
    return array_czyx
