import math

import pytest
import torch

from voxmmsd.losses.segmentation import EDITED_BIT, SegmentationLoss


def logits_for(label, certainty, classes=4):
    one_hot = torch.nn.functional.one_hot(label.long(), classes).movedim(-1, 1).float()
    return certainty * one_hot


def test_a_certain_right_answer_costs_nothing_and_a_wrong_one_much():
    label = torch.randint(0, 4, (2, 6, 6, 6), generator=torch.Generator().manual_seed(0))
    assert SegmentationLoss()(logits_for(label, 50), label) < 1e-3
    assert SegmentationLoss()(logits_for((label + 1) % 4, 50), label) > 10


def test_knowing_nothing_costs_the_entropy_and_the_dice_of_a_uniform_guess():
    label = torch.arange(4).repeat(54).reshape(1, 6, 6, 6)
    # Per label: 2 * sum(p g) / (sum p + sum g) = 2 * (54 / 4) / (54 + 54) = 1/4.
    expected = (1 - 0.25) + math.log(4)
    assert float(SegmentationLoss()(torch.zeros(1, 4, 6, 6, 6), label)) == pytest.approx(expected, abs=1e-4)


def test_dice_is_that_of_the_labels_without_the_background():
    label = torch.zeros(1, 6, 6, 6, dtype=torch.uint8)
    label[0, :, :3, :3] = 1  # 54 of 216 voxels
    # 2 * (54 / 2) / (216 / 2 + 54) of the label; the background's would be 0.6.
    expected = (1 - 1 / 3) + math.log(2)
    assert float(SegmentationLoss()(torch.zeros(1, 2, 6, 6, 6), label)) == pytest.approx(expected, abs=1e-4)


def test_a_patch_without_a_label_is_not_a_total_miss_of_it():
    label = torch.zeros(2, 6, 6, 6, dtype=torch.uint8)
    label[0, :3] = 1
    loss = SegmentationLoss()(logits_for(label, 50, classes=2), label)
    assert loss < 1e-3


def test_dice_is_taken_over_the_batch_so_that_a_voxel_too_many_in_a_patch_without_the_label_costs_little():
    label = torch.zeros(2, 6, 6, 6, dtype=torch.uint8)
    label[0, :3] = 1  # 108 voxels
    predicted = label.clone()
    predicted[1, 0, 0, 0] = 1
    logits = logits_for(predicted, 50, classes=2)
    dice = float(SegmentationLoss()(logits, label) - torch.nn.functional.cross_entropy(logits, label.long()))
    assert dice == pytest.approx(1 - 2 * 108 / (108 + 109), abs=1e-4)


def test_balanced_every_class_counts_alike_in_the_cross_entropy_however_few_its_voxels():
    label = torch.zeros(1, 6, 6, 6, dtype=torch.uint8)
    label[0, 0, 0] = 2  # 6 of 216 voxels
    all_background = logits_for(torch.zeros_like(label), 5)
    right = math.log(math.exp(5) + 3) - 5  # the cross-entropy of a background voxel
    wrong = right + 5  # of a voxel of the label
    dice = float(SegmentationLoss()(all_background, label)) - (210 * right + 6 * wrong) / 216
    balanced, half = (float(SegmentationLoss()(all_background, label, balance)) - dice for balance in (1.0, 0.5))
    assert balanced == pytest.approx((right + wrong) / 2, rel=1e-4)
    weights = 210**-0.5, 6**-0.5
    by_hand = (210 * weights[0] * right + 6 * weights[1] * wrong) / (210 * weights[0] + 6 * weights[1])
    assert half == pytest.approx(by_hand, rel=1e-4)


def test_a_voxel_that_a_person_edited_counts_as_often_as_its_weight_says():
    """As if the edited voxel stood there three times, in the cross-entropy and in Dice."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 4, 8, 1, 1, generator=generator)
    label = torch.tensor([0, 1, 2, 3, 0, 1, 1, 2], dtype=torch.uint8).reshape(1, 8, 1, 1)
    edited = torch.tensor([1, 0, 0, 0, 0, 1, 0, 0], dtype=torch.bool).reshape(1, 8, 1, 1)
    again = torch.cat([torch.arange(8), torch.tensor([0, 0, 5, 5])])
    marked = label + EDITED_BIT * edited.to(torch.uint8)
    unions = {4: (1, 2, 3), 5: (2, 3)}
    loss = SegmentationLoss(unions, region_weight=0.5, edited_weight=3.0)
    found = float(loss(logits, marked))
    assert found == pytest.approx(float(SegmentationLoss(unions, 0.5)(logits[:, :, again], label[:, again])), rel=1e-5)
    assert found != pytest.approx(float(SegmentationLoss(unions, 0.5)(logits, label)), rel=1e-3)


def test_balanced_an_edited_voxel_weighs_more_among_its_class():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 2, 4, 1, 1, generator=generator)
    label = torch.tensor([0, 0, 0, 1 + EDITED_BIT], dtype=torch.uint8).reshape(1, 4, 1, 1)
    each = torch.nn.functional.cross_entropy(logits, label.long() % EDITED_BIT, reduction="none").ravel()
    weights = torch.tensor([1 / 3, 1 / 3, 1 / 3, 5.0])
    loss = SegmentationLoss(edited_weight=5.0)
    balanced, plain = float(loss(logits, label, balance=1.0)), float(loss(logits, label))
    entropy = (weights * each).sum() / weights.sum() - (each[:3].sum() + 5 * each[3]) / 8
    assert balanced - plain == pytest.approx(float(entropy), abs=1e-5)


def test_tissues_pasted_into_a_partially_labeled_case_belong_to_its_unions():
    """As ``paste`` leaves a whole tumor with a fully labeled one beside it."""
    truth = torch.zeros(1, 6, 6, 6, dtype=torch.uint8)
    truth[0, 0], truth[0, 2], truth[0, 3], truth[0, 4] = 4, 1, 3, 5
    loss = SegmentationLoss({4: (1, 2, 3), 5: (1, 3)}, open_labels=True)
    right = torch.where(truth == 4, 2, torch.where(truth == 5, 3, truth))
    assert loss(logits_for(right, 50), truth) < 1e-3
    blank = torch.where(truth < 4, 0, right)
    entropy = 50 * 72 / 216  # of the two slices of 36 voxels that are missed
    # Of the whole tumor 72 of 144 voxels are found, of the core 36 of 108.
    dice = (1 - 2 * 72 / (72 + 144) + 1 - 2 * 36 / (36 + 108)) / 2
    assert float(loss(logits_for(blank, 50), truth)) == pytest.approx(entropy + dice, abs=1e-3)


def test_an_edited_voxel_of_a_partially_labeled_case_counts_as_often():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 6, 1, 1, generator=generator)
    label = torch.tensor([[0, 4, 4, 0, 4, 0], [0, 1, 2, 3, 0, 1]], dtype=torch.uint8).reshape(2, 6, 1, 1)
    marked = label.clone()
    marked[:, 1] += EDITED_BIT
    again = torch.cat([torch.arange(6), torch.tensor([1, 1])])
    loss = SegmentationLoss({4: (1, 2, 3)}, open_labels=True, edited_weight=3.0)
    plain = SegmentationLoss({4: (1, 2, 3)}, open_labels=True)
    assert float(loss(logits, marked)) == pytest.approx(float(plain(logits[:, :, again], label[:, again])), rel=1e-5)
