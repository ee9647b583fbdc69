"""Every rule of the official scores on masks whose numbers can be found by hand."""

import math

import numpy as np
import pytest

from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError
from voxmmsd.evaluation.lesionwise import score_lesions
from voxmmsd.evaluation.protocols import rules_of
from voxmmsd.labels import schema_named

GLI, POST = schema_named("brats-gli-2023"), schema_named("brats-gli-2024")
SHAPE = (40, 40, 60)
GRID = Grid(SHAPE, np.eye(4))


def boxes(*places):
    """Cubes of class ``(index, first corner, side)`` in an empty map; later ones lie over earlier ones."""
    labels = np.zeros(SHAPE, np.uint8)
    for index, (z, y, x), side in places:
        labels[z : z + side, y : y + side, x : x + side] = index
    return labels


def score(reference, predicted, protocol="brats2023", task="auto", schema=GLI, grid=GRID):
    return score_lesions(reference, predicted, schema, grid, rules_of(protocol, task, schema))


LARGE = (3, (10, 10, 10), 6)  # 216 voxels of enhancing tumor
FAR = (3, (10, 10, 40), 5)  # 125, farther away than any dilation


def test_what_is_right_is_one_and_a_missed_lesion_costs_as_much_as_a_false_one():
    both, one = boxes(LARGE, FAR), boxes(LARGE)
    missed, false, right = (score(*pair)["ET"] for pair in ((both, one), (one, both), (both, both)))
    assert (right.dice, right.hd95_mm, right.found, right.missed, right.false) == (1.0, 0.0, 2, 0, 0)
    for scores in (missed, false):
        assert (scores.dice, scores.hd95_mm) == (0.5, 374 / 2)
    assert (missed.found, missed.missed, missed.false) == (1, 1, 0)
    assert (false.found, false.missed, false.false) == (1, 0, 1)
    assert missed.whole_dice == pytest.approx(2 * 216 / (216 + 216 + 125))
    assert missed.sensitivity == pytest.approx(216 / 341)
    assert false.specificity == pytest.approx(1 - 125 / (np.prod(SHAPE) - 216))


def test_the_penalty_of_2024_is_another_for_each_task():
    both, one = boxes(LARGE, FAR), boxes(LARGE)
    penalties = {task: 2 * score(both, one, "brats2024", task)["ET"].hd95_mm for task in ("gli", "ssa", "met", "men")}
    assert penalties == pytest.approx({"gli": 337, "ssa": 374, "men": 374, "met": math.hypot(*SHAPE)})


def test_both_empty_is_perfect_and_one_empty_is_the_penalty():
    empty = boxes()
    for protocol, penalty in (("brats2023", 374.0), ("brats2024", 337.0)):
        assert (score(empty, empty, protocol)["ET"].dice, score(empty, empty, protocol)["ET"].hd95_mm) == (1.0, 0.0)
        for pair in ((boxes(LARGE), empty), (empty, boxes(LARGE))):
            scores = score(*pair, protocol)["ET"]
            assert (scores.dice, scores.hd95_mm, scores.whole_dice, scores.whole_hd95_mm) == (
                0.0,
                penalty,
                0.0,
                penalty,
            )


@pytest.mark.parametrize(("gap", "lesions"), [(6, 1), (7, 2)])
def test_reference_lesions_that_meet_when_grown_by_three_are_one(gap, lesions):
    """Three steps from each side bridge six empty voxels, and touch over a seventh's face only when it is not there."""
    reference = boxes(LARGE, (3, (10, 10, 16 + gap), 6))
    assert len(score(reference, reference)["ET"].lesions) == lesions
    assert len(score(reference, reference, task="men")["ET"].lesions) == 2, "grown by one voxel"


@pytest.mark.parametrize(("gap", "found"), [(2, 1), (3, 0)])
def test_a_prediction_meets_a_lesion_within_three_voxels_of_it(gap, found):
    scores = score(boxes(LARGE), boxes((3, (10, 10, 16 + gap), 6)))["ET"]
    assert (scores.found, scores.missed, scores.false) == (found, 1 - found, 1 - found)
    assert scores.dice == 0.0
    assert scores.hd95_mm == (374.0 if not found else pytest.approx(6 + gap, abs=0.6))


def test_small_reference_lesions_are_dropped_and_predictions_that_meet_them_are_not_false():
    small = (3, (10, 10, 40), 3)  # 27 mm^3 of the 50 that count
    for predicted in (boxes(LARGE), boxes(LARGE, small)):
        scores = score(boxes(LARGE, small), predicted)["ET"]
        assert (scores.dice, scores.found, scores.missed, scores.false) == (1.0, 1, 0, 0)
        assert [lesion.counts for lesion in scores.lesions] == [True, False]
    assert score(boxes(LARGE), boxes(LARGE, small))["ET"].false == 1, "2023 drops no small prediction"
    assert score(boxes(LARGE, small), boxes(LARGE), task="met")["ET"].missed == 1, "metastases count from 3 mm^3"


def test_the_limit_is_in_cubic_millimeters_and_what_is_on_it_is_dropped():
    box = boxes()
    box[10, 10:15, 10:20] = 3  # 50 voxels
    assert score(box, boxes())["ET"].missed == 0
    coarse = Grid(SHAPE, np.diag([1.1, 1.0, 1.0, 1.0]))
    assert score(box, boxes(), grid=coarse)["ET"].missed == 1


def test_2024_drops_small_lesions_on_both_sides_enhancing_from_ten_and_others_from_twenty():
    for index, key, most in ((3, "ET", 10), (1, "NETC", 20), (4, "RC", 20)):
        for size, false in ((most, 0), (most + 1, 1)):
            line = boxes()
            line[20, 20, 10 : 10 + size] = index
            assert score(boxes(), line, "brats2024", schema=POST)[key].false == false
            assert score(line, boxes(), "brats2024", schema=POST)[key].missed == false


def test_a_prediction_over_two_lesions_is_compared_whole_with_each():
    reference = boxes(LARGE, (3, (10, 10, 26), 6))
    bridge = boxes(LARGE, (3, (10, 10, 26), 6))
    bridge[12, 12, 16:26] = 3
    scores = score(reference, bridge)["ET"]
    assert (scores.found, scores.false) == (2, 0)
    assert scores.dice == pytest.approx(2 * 216 / (216 + 442))


def test_predicted_pieces_near_one_lesion_are_compared_with_it_together():
    halves = boxes(LARGE)
    halves[:, :, 12:14] = 0
    scores = score(boxes(LARGE), halves)["ET"]
    assert (scores.found, scores.false) == (1, 0)
    assert scores.dice == pytest.approx(2 * 144 / (216 + 144))


def test_2024_joins_predicted_pieces_that_meet_when_grown_and_2023_does_not():
    pieces = boxes((3, (10, 10, 22), 6), (3, (10, 10, 30), 6))  # 6 and 14 voxels from the lesion, 2 apart
    reference = boxes(LARGE)
    assert score(reference, pieces)["ET"].false == 2
    assert score(reference, pieces, "brats2024", schema=POST)["ET"].false == 1


def test_2024_joins_lesions_that_touch_the_same_component_of_another_tissue():
    """Two pieces of enhancing tumor at both ends of one cavity are one lesion; in 2023 they are two."""
    reference = boxes((3, (10, 10, 10), 6), (3, (10, 10, 30), 6))
    reference[10:16, 10:16, 16:30] = 4
    assert len(score(reference, reference, "brats2024", schema=POST)["ET"].lesions) == 1
    reference[:, :, 17:28] = 0  # so far apart that the cavity's pieces do not meet when grown by five
    assert len(score(reference, reference, "brats2024", schema=POST)["ET"].lesions) == 2, "the second end alone"
    other = boxes((3, (10, 10, 10), 6), (3, (10, 10, 30), 6))
    other[10:16, 10:16, 16:30] = 2  # edema joins nothing
    assert len(score(other, other, "brats2024", schema=POST)["ET"].lesions) == 2


def test_a_lesion_between_two_components_goes_with_the_first_of_them_where_x_is_the_slowest_axis():
    """As in the organizers' code. Necrosis A touches the enhancing components P and Q, B touches Q alone: A and B are
    one lesion where Q comes first, two where P does."""
    reference = np.zeros(SHAPE, np.uint8)
    reference[8:25, 10:14, 20:25] = 1  # A
    reference[2:8, 10:14, 20:25] = 3  # P: first with z slowest
    reference[20:25, 10:14, 8:20] = 3  # Q: first with x slowest
    reference[20:25, 10:14, 2:8] = 1  # B
    assert len(score(reference, reference, "brats2024", schema=POST)["NETC"].lesions) == 1
    without_b = np.where(np.arange(SHAPE[2]) < 8, 0, reference).astype(np.uint8)
    found = score(reference, without_b, "brats2024", schema=POST)["NETC"]
    a, b = 17 * 4 * 5, 5 * 4 * 6
    assert (found.dice, found.missed) == (pytest.approx(2 * a / (2 * a + b)), 0)
    turned = reference.transpose(2, 1, 0)  # now P comes first
    grid = Grid(turned.shape, np.eye(4))
    assert len(score(turned, turned, "brats2024", schema=POST, grid=grid)["NETC"].lesions) == 2


def test_edges_touch_and_corners_do_not():
    def joined(offset):
        reference = boxes((3, (10, 10, 10), 6), (3, (10, 10, 30), 6))
        z, y = offset
        reference[16 + z : 20 + z, 10:16, 10:36] = 1  # a slab behind one face of both cubes
        if y:
            reference[16:20, 10:16, 10:36] = 0
            reference[16:20, 16 : 16 + 4, 10:36] = 1  # meets the cubes at an edge
        return len(score(reference, reference, "brats2024", schema=POST)["ET"].lesions)

    assert joined((0, 0)) == 1
    assert joined((0, 1)) == 1
    assert joined((1, 0)) == 2


def test_2024_has_surface_dice_and_2023_has_none():
    shifted = np.roll(boxes(LARGE), 1, axis=0)
    new, old = score(boxes(LARGE), shifted, "brats2024", schema=POST)["ET"], score(boxes(LARGE), shifted)["ET"]
    assert new.nsd_10 == 1.0
    assert 0.3 < new.nsd_05 < 0.7
    assert math.isnan(old.nsd_05)
    assert score(boxes(LARGE, FAR), shifted, "brats2024", schema=POST)["ET"].nsd_10 == 0.5


def test_regions_are_scored_as_masks_over_touching_classes():
    reference = boxes((2, (8, 8, 8), 12), (1, (10, 10, 10), 8), (3, (12, 12, 12), 4))
    predicted = boxes((2, (8, 8, 8), 12))
    scores = score(reference, predicted)
    assert scores["WT"].dice == 1.0
    assert (scores["TC"].missed, scores["ET"].missed) == (1, 1)


def test_tissues_go_by_the_schemas_own_names():
    assert set(rules_of("brats2023", "auto", POST)) == {"WT", "TC", "ET"}
    assert set(rules_of("brats2024", "auto", POST)) == {"WT", "TC", "NETC", "SNFH", "ET", "RC"}
    assert set(rules_of("brats2024", "auto", GLI)) == {"WT", "TC", "NCR", "ED", "ET"}
    assert rules_of("brats2024", "auto", GLI)["ET"].joined_by == ("NCR",)
    assert set(rules_of("brats2024", "auto", schema_named("brats-ped-2024"))) == {"WT", "TC", "ET", "NET", "CC", "ED"}
    with pytest.raises(ConfigError, match="no protocol 'brats1999'"):
        rules_of("brats1999", "auto", GLI)
