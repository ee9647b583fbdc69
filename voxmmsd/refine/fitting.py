"""What edits teach: a multinomial logistic regression over voxel features, with the network's own logits as offset.

Without edits it would say what the network says. Its few hundred weights are fitted to the edited voxels, to those
that were looked at and left alone, and, so that the rest of the volume stays as it is, to a random sample of the others
with the network's label, which weighs less. numpy and SciPy only; the same input gives the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

from voxmmsd.refine.evidence import Evidence
from voxmmsd.refine.features import CaseFeatures

NEAR_MM = 10.0


@dataclass(frozen=True)
class FitSettings:
    """How the regression is fitted; chosen on cases that the network has not learned (``benchmarks/refine.py``)."""

    others: int = 16_000  # random voxels with the network's label
    near_tumor: float = 0.5  # share of them within NEAR_MM of what the network calls tumor
    others_weight: float = 0.3  # against an edited voxel's 1
    most_evidence: int = 30_000  # voxels edited, and as many left alone; more are thinned at random
    penalty: float = 10.0  # half of it times the squared weights is added to the loss
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


def fit(features: CaseFeatures, evidence: Evidence, settings: FitSettings | None = None) -> Fit:
    """Fit the regression to a case's evidence; a few seconds on one core."""
    settings = settings or FitSettings()
    samples = draw_samples(features, evidence, settings)
    parts = [interpolated(array, samples.places_zyx, step) for step, array in features.levels]
    offsets = interpolated(features.logits_czyx, samples.places_zyx, 1).clip(-30, 30)
    design = np.concatenate(parts, axis=1)
    mean, spread = design.mean(axis=0), design.std(axis=0) + 1e-3
    design -= mean
    design /= spread
    weights, bias = _regression(design, offsets, samples, settings)
    said = (offsets + design @ weights + bias).argmax(axis=1)
    explained = np.equal(said, samples.labels)[samples.edited]
    agreement = float(explained.mean()) if explained.size else 0.0
    weights /= spread[:, None]
    bias = bias - mean @ weights
    ends = np.cumsum([part.shape[1] for part in parts])
    return Fit(tuple(np.split(weights, ends[:-1])), bias, agreement)


def draw_samples(features: CaseFeatures, evidence: Evidence, settings: FitSettings) -> Samples:
    """Edited voxels, voxels of reviewed planes, and random others; all inside the tissue's box."""
    generator = np.random.default_rng(0)
    tissue = features.image_czyx.any(axis=0)
    to_box = np.linalg.solve(features.grid.affine_zyx, evidence.grid.affine_zyx)
    edited, fixed = evidence.edited_zyx, evidence.fixed_zyx
    volume = evidence.grid.voxel_volume_ml / features.grid.voxel_volume_ml
    places, labels, weights, is_edited = [], [], [], []
    taken = np.zeros(tissue.shape, bool)
    for number, mask in enumerate((edited, fixed & ~edited)):
        voxels = np.argwhere(mask)
        at = voxels @ to_box[:3, :3].T + to_box[:3, 3]
        near = np.rint(at).astype(int)
        inside = ((near >= 0) & (near < tissue.shape)).all(axis=1)
        voxels, at, near = voxels[inside], at[inside], near[inside]
        taken[tuple(near.T)] = True
        if number:  # the air around the brain teaches nothing
            inside = tissue[tuple(near.T)]
            voxels, at = voxels[inside], at[inside]
        kept = _thinned(len(voxels), settings.most_evidence, generator)
        places.append(at[kept])
        labels.append(evidence.label_zyx[tuple(voxels[kept].T)])
        weights.append(np.full(len(kept), volume * len(voxels) / max(1, len(kept))))
        is_edited.append(np.full(len(kept), not number))
    free, near_tumor = tissue & ~taken, _near_tumor(features)
    around = round(settings.others * settings.near_tumor)
    others = np.concatenate(
        [
            _drawn(np.argwhere(free & near_tumor), around, generator),
            _drawn(np.argwhere(free & ~near_tumor), settings.others - around, generator),
        ]
    )
    places.append(others.astype(float))
    labels.append(features.logits_czyx[:, *others.T].argmax(axis=0).astype(np.uint8))
    weights.append(np.full(len(others), settings.others_weight))
    is_edited.append(np.zeros(len(others), bool))
    return Samples(*map(np.concatenate, (places, labels, weights, is_edited)))


def _near_tumor(features: CaseFeatures) -> np.ndarray:
    """Within NEAR_MM of what the network calls tumor, by steps along the axes; bool."""
    tumor = features.logits_czyx.argmax(axis=0) > 0
    steps = max(1, round(NEAR_MM / min(features.grid.spacing_mm_zyx)))
    return ndimage.binary_dilation(tumor, iterations=steps) if tumor.any() else tumor


def _drawn(voxels: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return voxels[_thinned(len(voxels), most, generator)]


def _thinned(count: int, most: int, generator: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(generator.choice(count, most, replace=False))


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


def scores(features: CaseFeatures, fitted: Fit) -> np.ndarray:
    """What the regression adds to the logits, ``(class, z, y, x)`` float32 over the features' grid.

    Being linear, it is computed at each level's own size and enlarged after that: thirty times less work.
    """
    shape = features.grid.shape_zyx
    total = np.zeros((len(fitted.bias), *shape), np.float32)
    total += fitted.bias[:, None, None, None].astype(np.float32)
    for (step, array), weights in zip(features.levels, fitted.weights, strict=True):
        flat = _by_slabs(array, weights.astype(np.float32))
        total += enlarged(flat, step)
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
