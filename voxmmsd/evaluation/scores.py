"""Overlap, surface distance and volume of a segmentation compared with the expert's, per label and region.

A structure that is empty on one side or both is never silently scored as 0 or 1: what cannot be computed is NaN, and
the status gives the reason. Dice and HD95 agree with MONAI's ``DiceMetric`` and
``HausdorffDistanceMetric(percentile=95)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import Grid, bounding_box
from voxmmsd.evaluation.means import NAN, nan_mean
from voxmmsd.labels import LabelSchema, Region

SCORED, MISSED, BOTH_EMPTY, FALSE = "scored", "missed", "both empty", "reference empty, predicted"


@dataclass(frozen=True)
class Scores:
    """Scores of one structure of one case.

    ``dice``, ``sensitivity``, ``precision`` in 0 to 1; ``hd95_mm``; volumes in ml. ``status`` is ``scored``, ``missed``
    (Dice and sensitivity are 0, the rest is NaN), ``both empty`` or ``reference empty, predicted`` (all NaN).
    """

    dice: float
    hd95_mm: float
    sensitivity: float
    precision: float
    reference_ml: float
    predicted_ml: float
    status: str


MIN_ML = {"ET": 0.5}
"""Smallest expert's volume at which a region's Dice counts in ``counted_dice``: below, a few voxels decide between 0
and 1. ``compare`` and the pictures and charts of a report leave smaller ones out. All else counts every region that the
expert drew: the table of ``evaluate``, validation, the comparison on held-out patients, and the subsets of modalities.
"""

ONE_VOXEL = (slice(0, 1), slice(0, 1), slice(0, 1))  # instead of the box of an empty mask
METRICS = tuple(item.name for item in fields(Scores) if item.name != "status")


@dataclass(frozen=True)
class CaseScores:
    """Scores of a case by key of its labels and regions, regions first."""

    case_id: str
    structures: dict[str, Scores]


@dataclass(frozen=True)
class Mean:
    """Mean of a metric over the ``count`` cases in which it is not NaN."""

    value: float
    count: int


def score_case(
    case_id: str, reference_zyx: np.ndarray, predicted_zyx: np.ndarray, schema: LabelSchema, grid: Grid
) -> CaseScores:
    """Score two maps of class indices ``(z, y, x)`` on one grid."""
    box = bounding_box((reference_zyx != 0) | (predicted_zyx != 0)) or ONE_VOXEL
    reference, predicted = reference_zyx[box], predicted_zyx[box]
    structures = {region.key: schema.region_indices(region) for region in schema.regions}
    for index, label in enumerate(schema.labels, start=1):
        structures.setdefault(label.key, (index,))
    found = {}
    for key, classes in structures.items():
        masks = [np.isin(labels, classes) for labels in (reference, predicted)]
        found[key] = score_masks(masks[0], masks[1], grid.spacing_mm_zyx, grid.voxel_volume_ml)
    return CaseScores(case_id, found)


def score_masks(
    reference: np.ndarray, predicted: np.ndarray, spacing_mm_zyx: tuple[float, float, float], voxel_ml: float
) -> Scores:
    """Score two bool masks ``(z, y, x)``."""
    size, guess, both = (int(mask.sum()) for mask in (reference, predicted, reference & predicted))
    volumes = {"reference_ml": size * voxel_ml, "predicted_ml": guess * voxel_ml}
    if size == 0:
        return Scores(NAN, NAN, NAN, NAN, **volumes, status=FALSE if guess else BOTH_EMPTY)
    if guess == 0:
        return Scores(0.0, NAN, 0.0, NAN, **volumes, status=MISSED)
    distance = hd95_mm(reference, predicted, spacing_mm_zyx)
    return Scores(dice(reference, predicted), distance, both / size, both / guess, **volumes, status=SCORED)


def dice(reference: np.ndarray, predicted: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two bool masks; NaN if the reference is empty."""
    size = int(reference.sum())
    return 2 * int((reference & predicted).sum()) / (size + int(predicted.sum())) if size else NAN


def region_dice(
    reference: np.ndarray, predicted: np.ndarray, schema: LabelSchema, regions: Iterable[Region] | None = None
) -> dict[str, float]:
    """Dice per region of two maps of class indices ``(z, y, x)``, whatever its size; NaN if the reference is empty.

    The reference may hold codes of ``schema.unions``. A region whose tissues it leaves open is NaN, too. ``regions``:
    those to score, if not all.
    """
    scores = {}
    for region in schema.regions if regions is None else regions:
        classes = schema.region_indices(region)
        inside = [code for code, union in schema.unions.items() if set(union) <= set(classes)]
        crossing = [code for code, union in schema.unions.items() if code not in inside and set(union) & set(classes)]
        is_open = bool(np.isin(reference, crossing).any())
        scores[region.key] = (
            NAN if is_open else dice(np.isin(reference, (*classes, *inside)), np.isin(predicted, classes))
        )
    return scores


def hd95_mm(reference: np.ndarray, predicted: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """The larger of the two 95th percentiles of the distances from the voxels of one surface to the other surface.

    A surface voxel has a 6-neighbor outside the mask; voxels beyond the array are outside. Neither mask may be empty.
    """
    box = bounding_box(reference | predicted)
    assert box is not None, "an empty mask has no surface"
    surfaces = [_surface(mask[box]) for mask in (reference, predicted)]
    percentiles = []
    for here, there in (surfaces, surfaces[::-1]):
        to_there = ndimage.distance_transform_edt(~there, sampling=spacing_mm_zyx)
        percentiles.append(np.percentile(to_there[here], 95))
    return float(max(percentiles))


def counted_dice(case: CaseScores, structure: str) -> float:
    """Dice if the reference is larger than ``MIN_ML``, else NaN."""
    scores = case.structures[structure]
    return scores.dice if scores.reference_ml > MIN_ML.get(structure, 0.0) else NAN


def falsely_found(cases: Sequence[CaseScores], structure: str) -> tuple[str, ...]:
    """Ids of the cases with a false positive structure of more than ``MIN_ML``."""
    least = MIN_ML.get(structure, 0.0)
    found = [(case.case_id, case.structures[structure]) for case in cases]
    return tuple(id_ for id_, s in found if s.reference_ml <= least < s.predicted_ml)


def mean_scores(cases: Sequence[CaseScores]) -> dict[str, dict[str, Mean]]:
    """Structure -> metric -> mean over the cases in which it is not NaN."""
    means: dict[str, dict[str, Mean]] = {}
    for key in dict.fromkeys(key for case in cases for key in case.structures):
        scores = [case.structures[key] for case in cases if key in case.structures]
        means[key] = {metric: _mean([getattr(score, metric) for score in scores]) for metric in METRICS}
    return means


def _mean(values: Sequence[float]) -> Mean:
    return Mean(nan_mean(values), sum(math.isfinite(value) for value in values))


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
