"""Official lesion-wise scores: each reference lesion is scored separately; false lesions cost as much as missed ones.

Rules are those of ``voxmmsd.evaluation.protocols``. Everything happens in boxes around the lesions, and each lesion's
surface is looked for once; numbers are those of the organizers' code, which goes through the whole volume for each
lesion. Three scores of the structure as a whole differ: with several lesions, the organizers' 2024 code computes its
legacy HD95, sensitivity and specificity from an image of lesion numbers as if it were a mask. Here they are those of
the masks, as its legacy Dice is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product

import numpy as np
from scipy import ndimage

from voxmmsd.data.volume import Grid, bounding_box
from voxmmsd.evaluation.protocols import TOLERANCES_MM, Rule
from voxmmsd.evaluation.scores import ONE_VOXEL
from voxmmsd.evaluation.surfels import Spacing, Surface, hd95_of, surface_dice_of, surface_of
from voxmmsd.labels import LabelSchema

NAN = float("nan")
_EIGHTEEN, _TWENTY_SIX = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Agreement:
    """Of two masks: Dice, surfel-weighted HD95 in mm, NSD at 0.5 and 1 mm (NaN if not in the protocol)."""

    dice: float
    hd95_mm: float
    nsd_05: float
    nsd_10: float


@dataclass(frozen=True)
class Lesion:
    """A lesion of the expert's, the agreement of all predicted lesions that meet it, and whether there are any.

    ``counts`` is False for one too small to be scored.
    """

    volume_mm3: float
    agreement: Agreement
    found: bool
    counts: bool


@dataclass(frozen=True)
class LesionScores:
    """Of one structure of one case: means over the expert's lesions and the false ones; the whole structure beside.

    ``found``, ``missed``, ``false``: numbers of lesions. ``whole_*``: the structure as one mask ("legacy").
    """

    dice: float
    hd95_mm: float
    nsd_05: float
    nsd_10: float
    found: int
    missed: int
    false: int
    whole_dice: float
    whole_hd95_mm: float
    whole_nsd_05: float
    whole_nsd_10: float
    sensitivity: float
    specificity: float
    lesions: tuple[Lesion, ...]


LESION_METRICS = tuple(item.name for item in fields(LesionScores) if item.name != "lesions")


@dataclass(frozen=True)
class _Lesions:
    """Lesions of one mask: their numbers in ``(z, y, x)``, 0 elsewhere, and the same over what they were grown to."""

    numbers: np.ndarray
    grown: np.ndarray

    @property
    def count(self) -> int:
        return int(self.numbers.max(initial=0))

    @cached_property
    def boxes(self) -> list[tuple[slice, ...]]:
        """The box of each lesion, the first's first."""
        return ndimage.find_objects(self.numbers)

    def renumbered(self, new: np.ndarray) -> _Lesions:
        """``new[old]`` is the new number; 0 drops a lesion."""
        return _Lesions(new[self.numbers], new[self.grown])


def score_lesions(
    reference_zyx: np.ndarray, predicted_zyx: np.ndarray, schema: LabelSchema, grid: Grid, rules: Mapping[str, Rule]
) -> dict[str, LesionScores]:
    """Score two maps of class indices ``(z, y, x)`` on one grid; structure -> scores."""
    margin = 1 + max(rule.dilation for rule in rules.values())
    box = bounding_box((reference_zyx > 0) | (predicted_zyx > 0), margin) or ONE_VOXEL
    sides = [_Side(labels[box], schema, rules, predicted) for labels, predicted in ((reference_zyx, False),
                                                                                    (predicted_zyx, True))]  # fmt: skip
    scorer = _Scorer(grid.spacing_mm_zyx, reference_zyx.size, float(np.linalg.norm(grid.shape_zyx)))
    return {key: scorer.score(sides[0].lesions(key), sides[1].lesions(key), rule) for key, rule in rules.items()}


class _Side:
    """One label map's lesions by structure."""

    def __init__(self, labels: np.ndarray, schema: LabelSchema, rules: Mapping[str, Rule], predicted: bool) -> None:
        self._labels, self._rules, self._predicted = labels, rules, predicted
        self._classes: dict[str, tuple[int, ...]] = {
            label.key: (index,) for index, label in enumerate(schema.labels, start=1)
        }
        self._classes |= {region.key: schema.region_indices(region) for region in schema.regions}
        self._alone: dict[str, _Lesions] = {}

    def lesions(self, key: str) -> _Lesions:
        """Of a structure, those joined that touch one component of another tissue."""
        found = self._of(key, self._rules[key])
        for tissue in self._rules[key].joined_by:
            found = _joined(found, self._of(tissue, self._rules.get(tissue, self._rules[key])))
        return found

    def _of(self, key: str, rule: Rule) -> _Lesions:
        if key not in self._alone:
            mask = np.isin(self._labels, self._classes[key])
            if self._predicted and not rule.grows_predictions:
                numbers = _numbered(mask)
                self._alone[key] = _Lesions(numbers, numbers)
            else:
                grown = _numbered(_dilated(mask, rule.dilation))
                self._alone[key] = _Lesions(grown * mask, grown)
            if self._predicted and rule.grows_predictions:
                self._alone[key] = _without_small(self._alone[key], rule.least)
        return self._alone[key]


@dataclass(frozen=True)
class _Scorer:
    spacing_mm_zyx: Spacing
    voxels: int
    diagonal: float

    def score(self, reference: _Lesions, predicted: _Lesions, rule: Rule) -> LesionScores:
        met = _meetings(reference.grown, predicted.numbers)
        lesions = [self._lesion(number, reference, predicted, met.get(number, ()), rule)
                   for number in range(1, reference.count + 1)]  # fmt: skip
        counted = [lesion for lesion in lesions if lesion.counts]
        false = predicted.count - len({number for numbers in met.values() for number in numbers})
        penalty = rule.penalty_mm or self.diagonal
        scored = [lesion.agreement for lesion in counted]
        nothing = Agreement(1.0, 0.0, *((1.0, 1.0) if rule.surface_dice else (NAN, NAN)))
        cost = Agreement(0.0, penalty, *((0.0, 0.0) if rule.surface_dice else (NAN, NAN)))
        mean = _mean([*(_capped(each, penalty) for each in scored), *[cost] * false], nothing)
        if len(lesions) == 1 and false == 0:  # the whole structure is this one lesion
            whole = lesions[0].agreement
        else:
            whole = self._agreement(reference.numbers > 0, predicted.numbers > 0, rule)
        found = sum(lesion.found for lesion in counted)
        return LesionScores(
            *_values(mean), found, len(counted) - found, false, *_values(_capped(whole, penalty)),
            *self._rates(reference.numbers > 0, predicted.numbers > 0), tuple(lesions),
        )  # fmt: skip

    def _lesion(self, number: int, reference: _Lesions, predicted: _Lesions, met: Sequence[int], rule: Rule) -> Lesion:
        box = _around([reference.boxes[number - 1], *(predicted.boxes[guess - 1] for guess in met)])
        here, there = reference.numbers[box] == number, np.isin(predicted.numbers[box], met)
        volume = float(here.sum() * np.prod(self.spacing_mm_zyx))
        return Lesion(volume, self._agreement(here, there, rule), bool(len(met)), volume > rule.least)

    def _agreement(self, reference: np.ndarray, predicted: np.ndarray, rule: Rule) -> Agreement:
        box = bounding_box(reference | predicted) or ONE_VOXEL
        masks = reference[box], predicted[box]
        sizes = [int(mask.sum()) for mask in masks]
        if not any(sizes):
            return Agreement(1.0, 0.0, *((1.0, 1.0) if rule.surface_dice else (NAN, NAN)))
        dice = 2 * int((masks[0] & masks[1]).sum()) / sum(sizes)
        surfaces: list[Surface] = [surface_of(mask, self.spacing_mm_zyx) for mask in masks]
        nsd = surface_dice_of(surfaces[0], surfaces[1], TOLERANCES_MM) if rule.surface_dice else (NAN, NAN)
        return Agreement(dice, hd95_of(surfaces[0], surfaces[1]), *nsd)

    def _rates(self, reference: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
        """Sensitivity (1 where both are empty, 0 where only the reference is) and specificity."""
        size, guess, both = (int(mask.sum()) for mask in (reference, predicted, reference & predicted))
        outside = self.voxels - size
        sensitivity = both / size if size else float(guess == 0)
        return sensitivity, (outside - (guess - both)) / outside if outside else 0.0


def _numbered(mask_zyx: np.ndarray) -> np.ndarray:
    """Components (26 neighbors), numbered from 1 as the organizers do: going through the image with x slowest.

    The order counts: a lesion that touches several components of another tissue is joined with those that touch the
    first of them.
    """
    return np.ascontiguousarray(ndimage.label(mask_zyx.T, _TWENTY_SIX)[0].T)


def _dilated(mask: np.ndarray, steps: int) -> np.ndarray:
    return ndimage.binary_dilation(mask, _EIGHTEEN, iterations=steps) if mask.any() else mask


def _without_small(lesions: _Lesions, least: float) -> _Lesions:
    counts = np.bincount(lesions.numbers.ravel())
    kept = counts > least
    kept[0] = False
    return lesions.renumbered(np.cumsum(kept) * kept)


def _joined(lesions: _Lesions, other: _Lesions) -> _Lesions:
    """Lesions that touch (18 neighbors) one lesion of another tissue are one; who touches several, of the first."""
    touching = _touching(lesions.numbers, other.numbers)
    if len(touching) < 2:
        return lesions
    first: dict[int, int] = {}
    for own, others in touching:
        first.setdefault(own, others)
    names = [("other", first[own]) if own in first else ("own", own) for own in range(1, lesions.count + 1)]
    order = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
    return lesions.renumbered(np.array([0, *(order[name] for name in names)]))


def _touching(ours: np.ndarray, theirs: np.ndarray) -> list[tuple[int, int]]:
    """Sorted pairs of numbers of which a voxel of one is among the 18 neighbors of a voxel of the other."""
    pairs: set[tuple[int, int]] = set()
    for offset in product((-1, 0, 1), repeat=3):
        if 0 < np.abs(offset).sum() <= 2:
            here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, ours.shape, strict=True))
            there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, ours.shape, strict=True))
            pairs |= _pairs(ours[here], theirs[there])
    return sorted(pairs)


def _meetings(grown: np.ndarray, predicted: np.ndarray) -> dict[int, list[int]]:
    """Number of a reference lesion -> numbers of the predicted ones that lie in what it was grown to, if any."""
    met: dict[int, list[int]] = {}
    for lesion, guess in sorted(_pairs(grown, predicted)):
        met.setdefault(lesion, []).append(guess)
    return met


def _pairs(first: np.ndarray, second: np.ndarray) -> set[tuple[int, int]]:
    """The pairs of numbers above 0 that stand in one place."""
    both = (first > 0) & (second > 0)
    if not both.any():
        return set()
    found = np.unique(first[both].astype(np.int64) << 32 | second[both])
    return {(int(pair >> 32), int(pair & 0xFFFFFFFF)) for pair in found}


def _mean(agreements: Sequence[Agreement], nothing: Agreement) -> Agreement:
    if not agreements:
        return nothing
    return Agreement(*(float(value) for value in np.mean([_values(each) for each in agreements], axis=0)))


def _capped(agreement: Agreement, penalty_mm: float) -> Agreement:
    finite = agreement.hd95_mm if np.isfinite(agreement.hd95_mm) else penalty_mm
    return Agreement(agreement.dice, finite, agreement.nsd_05, agreement.nsd_10)


def _values(agreement: Agreement) -> tuple[float, float, float, float]:
    return agreement.dice, agreement.hd95_mm, agreement.nsd_05, agreement.nsd_10


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    return tuple(slice(min(s.start for s in each), max(s.stop for s in each)) for each in zip(*boxes, strict=True))
