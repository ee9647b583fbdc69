"""Whether a result can be true: findings of the labels, not of the images.

What is implausible is BLOCKING: ``segment`` withholds the labels unless it is forced. What is only doubtful is a
WARNING, and is handed over. The thresholds come from the experts' labels of 50 training and validation cases of two
patient groups (``docs/method.md``, section 12): the largest tumor has 321 ml and 17.5 % of the brain, the most
scattered one 4 components of 0.1 ml and more, and none has a voxel outside the brain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import bounding_box
from voxmmsd.inference.predict import Prediction
from voxmmsd.inference.presence import LargestPart
from voxmmsd.labels import MODALITIES
from voxmmsd.models.package import ModelInfo
from voxmmsd.models.subsets import expected_dice
from voxmmsd.records.findings import BLOCKING, NOTE, WARNING, Finding, Severity, in_order

MIN_BRAIN_ML = 300.0  # below, it is not a whole brain, and nothing is judged
DOUBTFUL_SHARE, IMPOSSIBLE_SHARE = 0.25, 0.40  # of the brain; experts: up to 0.175
DOUBTFUL_ML, IMPOSSIBLE_ML = 400.0, 600.0  # experts: up to 321
SPECK_ML = 0.1  # smaller components are not counted
DOUBTFUL_COMPONENTS, IMPOSSIBLE_COMPONENTS = 20, 100  # experts: up to 4
DOUBTFUL_OUTSIDE, IMPOSSIBLE_OUTSIDE = 0.02, 0.20  # share of the tumor; experts: 0
MIN_ML = 16.6  # experts: at least; a smaller largest part is believed only if the model is ...
SURE = 0.86  # of it on average: true tumors 0.867 and more, brains without a tumor up to 0.85
SURE_OF_CORE = 0.90  # at its surest place, with a T1c: true tumors 0.95 and more, phantoms without one up to 0.85
DOUBTFUL_DICE, IMPOSSIBLE_DICE = 0.6, 0.3  # of the whole tumor, as the model's card expects it
_BRIGHT_AS_WELL = "review it: gliosis, multiple sclerosis and small-vessel ischemic disease are also bright on FLAIR"


@dataclass(frozen=True)
class Extent:
    """What the labels take up: ml of tumor and of brain, components from SPECK_ML on, share outside the brain."""

    tumor_ml: float
    brain_ml: float
    components: int
    outside: float


def extent_of(label_zyx: np.ndarray, brain_zyx: np.ndarray, voxel_ml: float) -> Extent:
    """Of class indices and a mask of the brain ``(z, y, x)``; components touch by face, edge or corner."""
    box = bounding_box(label_zyx) or (slice(0, 0),) * 3
    tumor = label_zyx[box] > 0
    parts, _ = ndimage.label(tumor, np.ones((3, 3, 3), bool))
    sizes = np.bincount(parts.ravel(), minlength=1)[1:] * voxel_ml
    count = np.count_nonzero(tumor)
    return Extent(
        tumor_ml=float(count * voxel_ml),
        brain_ml=float(np.count_nonzero(brain_zyx) * voxel_ml),
        components=int((sizes >= SPECK_ML).sum()),
        outside=int(np.count_nonzero(tumor & ~brain_zyx[box])) / max(1, int(count)),
    )


def check_result(prediction: Prediction, before: Sequence[Finding] = ()) -> tuple[Finding, ...]:
    """Findings of a result; ``before``: of its images, among which a skull makes the labels worthless."""
    prepared = prediction.prepared
    brain = (prepared.image_czyx != 0).any(axis=0)
    extent = extent_of(prediction.prepared_label_zyx, brain, prepared.grid.voxel_volume_ml)
    found = [
        *_of_skull(before),
        *_of_modalities(prediction.package.info, prediction.volumes.case.missing),
        *check_extent(extent),
        *check_presence(extent, prediction.largest_part, has_contrast="t1c" not in prediction.volumes.case.missing),
    ]
    return in_order(found)


def check_extent(extent: Extent) -> Iterator[Finding]:
    """Whether a tumor of this extent exists in any head; a partial brain is not judged."""
    if extent.brain_ml < MIN_BRAIN_ML:
        return
    look = "look at the picture, and at the images (`voxmmsd check`)"
    if severity := _graded(extent.tumor_ml, DOUBTFUL_ML, IMPOSSIBLE_ML):
        text = f"{extent.tumor_ml:,.0f} ml of tumor: the largest of 50 tumors drawn by experts is 321 ml"
        yield Finding(severity, "tumor-volume", text, look)
    share = extent.tumor_ml / extent.brain_ml
    if severity := _graded(share, DOUBTFUL_SHARE, IMPOSSIBLE_SHARE):
        text = f"{100 * share:.0f} % of the brain is labeled tumor: the maximum in 50 tumors drawn by experts is 17.5 %"
        yield Finding(severity, "tumor-share", text, look)
    if severity := _graded(extent.outside, DOUBTFUL_OUTSIDE, IMPOSSIBLE_OUTSIDE):
        text = f"{100 * extent.outside:.0f} % of the tumor lies outside the brain"
        yield Finding(severity, "tumor-outside", text, look)
    if severity := _graded(extent.components, DOUBTFUL_COMPONENTS, IMPOSSIBLE_COMPONENTS):
        text = f"the tumor is scattered over {extent.components} separate regions of at least {SPECK_ML:g} ml"
        yield Finding(severity, "tumor-scattered", f"{text}: tumors drawn by experts have 4 at most", look)


def check_presence(extent: Extent, largest: LargestPart, *, has_contrast: bool) -> Iterator[Finding]:
    """Whether there is a tumor at all; a partial brain is not judged.

    A core that the model is sure of makes a tumor: what is bright on FLAIR alone is edema at most. Without a T1c cores
    are hardly found, and none is asked for.
    """
    if extent.brain_ml < MIN_BRAIN_ML:
        return
    if not extent.tumor_ml:
        yield Finding(NOTE, "no-tumor", "no tumor was found", "review the images yourself: small tumors can be missed")
    elif largest.ml < MIN_ML and largest.probability < SURE:
        text = (
            f"there may be no tumor: the largest region labeled tumor is {largest.ml:.2g} ml, with a probability of "
            f"{100 * largest.probability:.0f} % (the smallest of 50 tumors drawn by experts is {MIN_ML} ml)"
        )
        yield Finding(WARNING, "maybe-no-tumor", text, _BRIGHT_AS_WELL)
    elif has_contrast and largest.core is not None and largest.core < SURE_OF_CORE:
        text = (
            f"there may be no tumor: the largest region labeled tumor is {largest.ml:.2g} ml, and tumor core in it "
            f"has a probability of {100 * largest.core:.0f} % at most (at least 95 % in 50 true tumors)"
        )
        yield Finding(WARNING, "maybe-no-tumor", text, _BRIGHT_AS_WELL)


def _graded(value: float, doubtful: float, impossible: float) -> Severity | None:
    return Severity.BLOCKING if value > impossible else Severity.WARNING if value > doubtful else None


def _of_skull(before: Sequence[Finding]) -> Iterator[Finding]:
    for finding in before:
        if finding.kind == "skull":
            text = "the images are not skull-stripped, so the model's result is not valid"
            yield Finding(BLOCKING, "result-of-skull", text, finding.remedy)


def _of_modalities(info: ModelInfo, missing: Sequence[str]) -> Iterator[Finding]:
    dice = expected_dice(info, missing)
    if dice is None or not missing or dice >= DOUBTFUL_DICE:
        return
    there = " + ".join(name for name in MODALITIES if name not in missing)
    text = f"from {there} alone the model's card expects a Dice of {dice:.2f} for the whole tumor"
    severity = BLOCKING if dice < IMPOSSIBLE_DICE else WARNING
    yield Finding(severity, "result-of-modalities", text, f"give {' or '.join(missing)} too")
