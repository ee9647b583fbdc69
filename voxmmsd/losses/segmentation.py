"""Dice + cross-entropy for fine-tuning (``docs/method.md``, section 8), with MONAI's Dice.

Partially labeled cases, such as those with the whole tumor only, are learned by the marginal loss (Shi et al., Medical
Image Analysis 2021, doi 10.1016/j.media.2021.101979): where a label stands for a union of tissues, the probabilities of
these tissues are summed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

SMOOTH = 1e-5
EDITED_BIT = 128  # added to the class of a voxel that a person edited; classes and codes of unions are below it


class SegmentationLoss(nn.Module):
    """Mean soft Dice loss over the labels, plus cross-entropy over all classes.

    Dice is computed over the whole batch at once (``batch=True``), so that a patch without a label does not count as
    a complete miss of it. The background is excluded, since it would only dilute the mean.

    ``unions``: those of the label schema, code -> class indices. ``region_weight``: weight of the soft Dice loss of
    these unions, with the summed probability of their tissues; BraTS scores these regions rather than the labels.
    ``open_labels``: labels may contain codes of unions. They are only looked for if set, since that synchronizes
    with the device. ``edited_weight``: of the voxels whose label has ``EDITED_BIT``, in each mean and sum over voxels,
    where all others weigh 1; unless it is 1, labels may have that bit.
    """

    def __init__(
        self,
        unions: Mapping[int, tuple[int, ...]] | None = None,
        region_weight: float = 0.0,
        open_labels: bool = False,
        edited_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.unions, self.region_weight, self.open_labels = unions or {}, region_weight, open_labels
        self.edited_weight = edited_weight
        self._dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH
        )

    def forward(self, logits: Tensor, label: Tensor, balance: float = 0.0) -> Tensor:
        """The loss of ``logits`` (batch, class, z, y, x) and class indices ``label`` (batch, z, y, x); float32 scalar.

        With ``open_labels``, voxels of ``label`` may also hold codes of unions. In the cross-entropy, a voxel of a
        class with ``n`` voxels in the batch has weight ``n ** -balance``: with 0 all voxels have equal weight, with 1
        all classes present in the batch do.
        """
        logits, label, weight = logits.float(), label.long(), None
        if self.edited_weight != 1:
            weight = torch.where(label >= EDITED_BIT, self.edited_weight, 1.0)
            label = label % EDITED_BIT
        if self.open_labels:
            open_items = (label >= logits.shape[1]).flatten(1).any(dim=1)
            if open_items.any():
                return self._marginal(logits, label, open_items, balance, weight)
        return self._of_labels(logits, label, balance, weight)

    def _of_labels(self, logits: Tensor, label: Tensor, balance: float, weight: Tensor | None) -> Tensor:
        classes = _class_weights(label, logits, balance)
        if weight is None:
            loss = self._dice(logits, label[:, None]) + F.cross_entropy(logits, label, classes)
            return loss + self._region_dice(logits, label)
        p = logits.softmax(dim=1)
        terms = [_soft_dice_loss(p[:, value], label == value, weight) for value in range(1, logits.shape[1])]
        each = F.cross_entropy(logits, label, reduction="none")
        loss = torch.stack(terms).mean() + _mean(each, weight * classes[label])
        return loss + self._region_dice(logits, label, weight)

    def _marginal(
        self, logits: Tensor, label: Tensor, open_items: Tensor, balance: float, weight: Tensor | None
    ) -> Tensor:
        """The loss of a batch in which ``open_items`` ``(batch,)`` are partially labeled.

        Fully and partially labeled items contribute one term each, weighted by their share of the batch.
        """
        share = float(open_items.float().mean())
        loss = logits.new_zeros(())
        if share < 1:
            known = None if weight is None else weight[~open_items]
            loss = (1 - share) * self._of_labels(logits[~open_items], label[~open_items], balance, known)
        log_p, truth = logits[open_items].log_softmax(dim=1), label[open_items]
        weight = None if weight is None else weight[open_items]
        of_classes = self._marginal_cross_entropy(log_p, truth, weight)
        return loss + share * (of_classes + self._marginal_dice(log_p.exp(), truth, weight))

    def _marginal_cross_entropy(self, log_p: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
        known = truth.clamp(max=log_p.shape[1] - 1)
        log_truth = log_p.gather(1, known[:, None])[:, 0]
        for code, union in self.unions.items():
            log_truth = torch.where(truth == code, log_p[:, list(union)].logsumexp(dim=1), log_truth)
        return -_mean(log_truth, weight)

    def _marginal_dice(self, p: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
        """Mean over the unions that occur; the other tissues of such cases are unknown.

        A union also has the tissues and smaller unions that are known in it, as where a tumor was pasted.
        """
        terms = []
        for code, union in self.unions.items():
            if (truth == code).any():
                parts = [*union, *(other for other, fewer in self.unions.items() if set(fewer) <= set(union))]
                is_inside = torch.isin(truth, truth.new_tensor(parts))
                terms.append(_soft_dice_loss(p[:, list(union)].sum(dim=1), is_inside, weight))
        return torch.stack(terms).mean()

    def _region_dice(self, logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
        if not self.region_weight or not self.unions:
            return logits.new_zeros(())
        p = logits.softmax(dim=1)
        terms = [
            _soft_dice_loss(p[:, list(union)].sum(dim=1), torch.isin(label, label.new_tensor(union)), weight)
            for union in self.unions.values()
        ]
        return self.region_weight * torch.stack(terms).mean()


def _class_weights(label: Tensor, logits: Tensor, balance: float) -> Tensor:
    classes = torch.arange(logits.shape[1], device=logits.device)
    counts = torch.stack([(label == value).sum() for value in classes]).clamp(min=1)
    return (counts / label.numel()) ** -balance


def _soft_dice_loss(p: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 - 2 |A B| / (|A| + |B|) over the whole batch, smoothed; ``weight``: of each voxel."""
    predicted, true = (p, truth) if weight is None else (weight * p, weight * truth)
    both = (predicted * truth).sum()
    return 1 - (2 * both + SMOOTH) / (predicted.sum() + true.sum() + SMOOTH)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (weight * values).sum() / weight.sum()
