"""Uncertainty: entropy of each voxel, and a list of uncertain regions, largest effect first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import Grid, bounding_box
from voxmmsd.labels import LabelSchema

DOUBTFUL = 0.35  # entropy, of 1: about 85 : 15 between two of four labels
MIN_ML = 0.05
MAX_PLACES = 20


@dataclass(frozen=True)
class UncertainRegion:
    """A connected region of high entropy.

    ``position_ras_mm``: a voxel in it, in world coordinates; ``size_ml``; ``labels``: the two most probable ones, as
    keys of the schema or ``background``; ``effect_ml``: expected error of the volume of each region.
    """

    position_ras_mm: tuple[float, float, float]
    size_ml: float
    labels: tuple[str, str]
    effect_ml: dict[str, float]

    @property
    def largest_effect_ml(self) -> float:
        return max(self.effect_ml.values())

    def record(self) -> dict[str, Any]:
        rounded = {key: round(value, 4) for key, value in self.effect_ml.items()}
        position = [round(value, 1) for value in self.position_ras_mm]
        return {**asdict(self), "position_ras_mm": position, "size_ml": round(self.size_ml, 4), "effect_ml": rounded}


def entropy(probabilities_czyx: np.ndarray) -> np.ndarray:
    """``(z, y, x)`` float32 in [0, 1]: Shannon's entropy over the classes, 1 where all are equally probable."""
    total = np.zeros(probabilities_czyx.shape[1:], np.float32)
    for probability in probabilities_czyx:
        total -= probability * np.log(np.maximum(probability, 1e-12))
    return np.clip(total / np.log(len(probabilities_czyx)), 0, 1)


def box_in_doubt(probabilities_czyx: np.ndarray, temperature: float) -> tuple[slice, slice, slice] | None:
    """The box outside which no label but background is the most probable one, and no voxel ``DOUBTFUL`` once the
    probabilities are calibrated with ``temperature``; None if it is so everywhere."""
    return bounding_box(probabilities_czyx[0] < _sure_from(len(probabilities_czyx) - 1, temperature))


def _sure_from(others: int, temperature: float) -> float:
    """The probability of background from which a voxel is not DOUBTFUL, however ``others`` share what is left."""
    for digits in range(1, 7):
        sure = 1 - 10.0**-digits
        odds = (1 - sure) / sure
        most = max(others * (odds / others) ** (1 / temperature), odds ** (1 / temperature))  # equal shares, or one
        background = 1 / (1 + most)
        share = (1 - background) / others
        if -background * np.log(background) - others * share * np.log(share) < 0.99 * DOUBTFUL * np.log(others + 1):
            return sure
    return 2.0  # a temperature so high leaves doubt everywhere


def uncertain_regions(
    probabilities_czyx: np.ndarray,
    schema: LabelSchema,
    grid: Grid,
    doubtful: float = DOUBTFUL,
    most: int = MAX_PLACES,
    *,
    start_zyx: Sequence[int] = (0, 0, 0),
) -> tuple[UncertainRegion, ...]:
    """Uncertain regions, by their expected effect on the volume of a region, largest first.

    ``probabilities_czyx`` ``(class, z, y, x)``, background first, on ``grid``, or a box of it that begins at
    ``start_zyx``, such as ``box_in_doubt``. Shells of one voxel, which every border
    has, are excluded. A voxel that is in a region with probability p contributes min(p, 1 - p) of its volume to the
    expected error of that region.
    """
    uncertainty = entropy(probabilities_czyx)
    thick = _opened(uncertainty > doubtful)
    if not thick.any():
        return ()
    places, count = ndimage.label(thick, np.ones((3, 3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(places, count), start=1):
        inside = places[box] == number
        size_ml = float(inside.sum() * grid.voxel_volume_ml)
        if size_ml < MIN_ML:
            continue
        here = probabilities_czyx[(slice(None), *box)][:, inside]
        start = [first + side.start for first, side in zip(start_zyx, box, strict=True)]
        found.append(_place(here, uncertainty[box] * inside, start, size_ml, schema, grid))
    return tuple(sorted(found, key=lambda place: place.largest_effect_ml, reverse=True)[:most])


def _opened(doubtful_zyx: np.ndarray) -> np.ndarray:
    """Without what is thinner than two voxels; only the box around what there is is looked at, which is much faster."""
    if (box := bounding_box(doubtful_zyx, margin=2)) is not None:
        doubtful_zyx[box] = ndimage.binary_opening(doubtful_zyx[box], np.ones((2, 2, 2)))
    return doubtful_zyx


def _place(
    probabilities: np.ndarray,
    uncertainty_zyx: np.ndarray,
    start_zyx: Sequence[int],
    size_ml: float,
    schema: LabelSchema,
    grid: Grid,
) -> UncertainRegion:
    """``probabilities``: ``(class, voxels)`` of the place."""
    keys = ("background", *(label.key for label in schema.labels))
    first, second = np.argsort(-probabilities.mean(axis=1), kind="stable")[:2]
    effect = {}
    for region in schema.regions:
        inside = probabilities[list(schema.region_indices(region))].sum(axis=0)
        effect[region.key] = float(np.minimum(inside, 1 - inside).sum() * grid.voxel_volume_ml)
    peak = np.unravel_index(int(uncertainty_zyx.argmax()), uncertainty_zyx.shape)
    voxel = np.array([*(s + p for s, p in zip(start_zyx, peak, strict=True)), 1.0])
    x, y, z = (float(value) for value in (grid.affine_zyx @ voxel)[:3])
    return UncertainRegion((x, y, z), size_ml, (keys[first], keys[second]), effect)
