import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.scores import BOTH_EMPTY, FALSE, MISSED, dice, hd95_mm, mean_scores, score_case, score_masks
from voxmmsd.labels import schema_named

SCHEMA = schema_named("brats-gli-2023")
GRID = Grid((12, 12, 12), np.diag([1.0, 2.0, 3.0, 1.0]))


def labels(*boxes):
    """A map of class indices with cubes (value, first, last)."""
    array = np.zeros(GRID.shape_zyx, np.uint8)
    for value, first, last in boxes:
        array[first:last, first:last, first:last] = value
    return array


def blob(seed, level):
    return gaussian_filter(np.random.default_rng(seed).normal(size=(20, 22, 24)), 2) > level


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.5, 0.9, 0.7)])
def test_dice_and_hd95_agree_with_monai(seed, spacing):
    a, b = blob(seed, 0.05), blob(seed, 0.07) | blob(seed + 10, 0.1)
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (b, a)]
    assert dice(a, b) == pytest.approx(float(compute_dice(*tensors)), abs=1e-6)
    theirs = float(compute_hausdorff_distance(*tensors, percentile=95, spacing=spacing))
    assert hd95_mm(a, b, spacing) == pytest.approx(theirs, abs=1e-3)


def test_scores_of_two_shifted_cubes_can_be_checked_by_hand():
    scores = score_case("c", labels((3, 2, 6)), labels((3, 3, 6)), SCHEMA, GRID).structures["ET"]
    assert scores.dice == pytest.approx(2 * 27 / (64 + 27))
    assert scores.sensitivity == pytest.approx(27 / 64)
    assert scores.precision == 1.0
    assert scores.reference_ml == pytest.approx(64 * 6 / 1000)
    assert scores.predicted_ml == pytest.approx(27 * 6 / 1000)
    assert scores.hd95_mm == pytest.approx(math.hypot(3, 2, 1), abs=1.0)


def test_regions_are_unions_of_labels():
    reference = labels((2, 1, 8), (3, 3, 6), (1, 4, 5))
    scores = score_case("c", reference, (reference > 0) * np.uint8(2), SCHEMA, GRID).structures
    assert scores["WT"].dice == 1.0
    assert scores["WT"].hd95_mm == 0.0
    assert scores["TC"].status == MISSED
    assert list(scores) == ["WT", "TC", "ET", "NCR", "ED"]


def test_what_is_empty_is_named_and_never_silently_zero_or_one():
    empty, some = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    both = score_masks(empty, empty, (1, 1, 1), 0.001)
    false = score_masks(empty, some, (1, 1, 1), 0.001)
    missed = score_masks(some, empty, (1, 1, 1), 0.001)
    assert (both.status, false.status, missed.status) == (BOTH_EMPTY, FALSE, MISSED)
    assert all(math.isnan(v) for s in (both, false) for v in (s.dice, s.hd95_mm, s.sensitivity, s.precision))
    assert (missed.dice, missed.sensitivity) == (0.0, 0.0)
    assert math.isnan(missed.hd95_mm)
    assert math.isnan(missed.precision)
    assert false.predicted_ml == pytest.approx(0.064)


def test_means_are_over_the_cases_that_have_a_number_and_say_how_many():
    cases = [
        score_case("a", labels((3, 2, 6)), labels((3, 2, 6)), SCHEMA, GRID),
        score_case("b", labels((2, 2, 6)), labels((2, 2, 6)), SCHEMA, GRID),
        score_case("c", labels((3, 2, 6)), labels((2, 2, 6)), SCHEMA, GRID),
    ]
    means = mean_scores(cases)
    assert means["ET"]["dice"].value == pytest.approx(0.5)
    assert means["ET"]["dice"].count == 2
    assert means["ET"]["hd95_mm"].count == 1
    assert means["WT"]["dice"].count == 3


def test_a_mask_that_touches_the_border_of_the_array_has_its_surface_there():
    first, second = np.zeros((6, 6, 6), bool), np.zeros((6, 6, 6), bool)
    first[:3], second[:5] = True, True
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (second, first)]
    theirs = float(compute_hausdorff_distance(*tensors, percentile=95))
    assert hd95_mm(first, second, (1, 1, 1)) == pytest.approx(theirs)
