"""Official lesion-wise scores of real labels: ours against the rules spelled out over the whole volume, in one run.

The plain implementation does for every lesion what the rules say, on whole arrays: dilate the lesion, look which
predicted components it meets, and measure surfels by two distance transforms. Predictions are the experts' labels
moved, eroded and with lesions added and taken away. Both must give the same numbers.

    python benchmarks/evaluate.py ../shared/data/brats2021 [CASES]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.evaluation.lesionwise import score_lesions
from voxmmsd.evaluation.protocols import Rule, rules_of
from voxmmsd.evaluation.surfels import _BITS, _areas
from voxmmsd.labels import LabelSchema, indices_from_values, schema_named

EIGHTEEN, TWENTY_SIX = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3))


def main() -> None:
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    worst = 0.0
    for number, case in enumerate(find_cases(Path(sys.argv[1])).cases[:count]):
        assert case.label and case.schema
        schema, volume = schema_named(case.schema), read_volume(case.label)
        reference = indices_from_values(volume.array, schema, case.id)
        predicted = perturbed(reference, np.random.default_rng(number))
        for protocol in ("brats2023", "brats2024"):
            rules = rules_of(protocol, "auto", schema)
            regions = {key: rule for key, rule in rules.items() if not rule.joined_by}
            started = time.perf_counter()
            ours = score_lesions(reference, predicted, schema, volume.grid, regions)
            times["ours"].append(time.perf_counter() - started)
            started = time.perf_counter()
            plain = {key: plain_scores(reference, predicted, schema, key, rule) for key, rule in regions.items()}
            times["plain"].append(time.perf_counter() - started)
            for key, (dice, hd95, lesions, false) in plain.items():
                assert (len(ours[key].lesions), ours[key].false) == (lesions, false), (case.id, protocol, key)
                worst = max(worst, abs(ours[key].dice - dice), abs(ours[key].hd95_mm - hd95))
            print(f"{case.id} {protocol}: ours {times['ours'][-1]:.2f} s, plain {times['plain'][-1]:.2f} s", flush=True)
    ratios = [plain / ours for ours, plain in zip(times["ours"], times["plain"], strict=True)]
    print(f"plain / ours: {statistics.median(ratios):.1f}x in the median, {min(ratios):.1f}x at least, "
          f"{sum(times['plain']) / sum(times['ours']):.1f}x in all; largest difference {worst:.1e}")  # fmt: skip


def perturbed(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A prediction as a model might give it: moved by a voxel, thinned at places, some lesions false, some missed."""
    moved = np.roll(labels, rng.integers(-1, 2, 3), axis=(0, 1, 2))
    thin = ndimage.binary_erosion(moved > 0) | (rng.random(labels.shape) < 0.5)
    moved = np.where(thin, moved, 0)
    inside = np.argwhere(labels > 0)
    for index in range(6):
        z, y, x = inside[rng.integers(len(inside))] + rng.integers(-25, 26, 3)
        side = int(rng.integers(2, 7))
        place = tuple(slice(max(0, c), max(0, c) + side) for c in (z, y, x))
        moved[place] = index % 4
    return moved


def plain_scores(
    reference: np.ndarray, predicted: np.ndarray, schema: LabelSchema, key: str, rule: Rule
) -> tuple[float, float, int, int]:
    """Mean Dice and HD95, number of the expert's lesions and of false ones; 1 mm voxels."""
    region = next(region for region in schema.regions if region.key == key)
    truth, guess = (np.isin(labels, schema.region_indices(region)) for labels in (reference, predicted))
    truth_lesions = grown_together(truth, rule.dilation)
    guess_lesions = (
        grown_together(guess, rule.dilation) if rule.grows_predictions else ndimage.label(guess, TWENTY_SIX)[0]
    )
    if rule.grows_predictions:
        for number in range(1, guess_lesions.max() + 1):
            if (guess_lesions == number).sum() <= rule.least:
                guess_lesions[guess_lesions == number] = 0
    dices, distances, met = [], [], set()
    for number in range(1, truth_lesions.max() + 1):
        lesion = truth_lesions == number
        near = ndimage.binary_dilation(lesion, EIGHTEEN, iterations=rule.dilation)
        numbers = set(np.unique(guess_lesions[near])) - {0}
        met |= numbers
        matched = np.isin(guess_lesions, list(numbers))
        dice = 2 * (lesion & matched).sum() / (lesion.sum() + matched.sum())
        distance = plain_hd95(lesion, matched, rule.penalty_mm)
        if lesion.sum() > rule.least:
            dices.append(dice)
            distances.append(distance)
    false = len(set(np.unique(guess_lesions)) - {0} - met)
    if not dices and not false:
        return 1.0, 0.0, int(truth_lesions.max()), 0
    scored = len(dices) + false
    return sum(dices) / scored, (sum(distances) + false * rule.penalty_mm) / scored, int(truth_lesions.max()), false


def grown_together(mask: np.ndarray, steps: int) -> np.ndarray:
    grown = ndimage.binary_dilation(mask, EIGHTEEN, iterations=steps)
    return ndimage.label(grown, TWENTY_SIX)[0] * mask


def plain_hd95(first: np.ndarray, second: np.ndarray, penalty: float) -> float:
    if not second.any():
        return penalty
    codes = [codes_of(mask) for mask in (first, second)]
    borders = [(code > 0) & (code < 255) for code in codes]
    percentiles = []
    for here, there in ((0, 1), (1, 0)):
        distances = ndimage.distance_transform_edt(~borders[there])[borders[here]]
        areas = _areas((1.0, 1.0, 1.0))[codes[here][borders[here]]]
        order = np.argsort(distances, kind="stable")
        reached = np.cumsum(areas[order]) / areas.sum()
        percentiles.append(distances[order][min(np.searchsorted(reached, 0.95), len(order) - 1)])
    return float(max(percentiles))


def codes_of(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for corner, bit in _BITS.items():
        codes += bit * padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))]
    return codes


if __name__ == "__main__":
    main()
