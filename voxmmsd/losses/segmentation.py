"""Dice + cross-entropy, the community's standard for fine-tuning (METHOD section 8); MONAI's, with our choices."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F


class SegmentationLoss(nn.Module):
    """Mean of soft Dice over the labels, plus cross-entropy over all classes.

    Dice is taken over the whole batch at once (``batch=True``), so that a patch without some label does not count
    as a total miss of it, and leaves the background out, which would only dilute it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5
        )

    def forward(self, logits: Tensor, label: Tensor, balance: float = 0.0) -> Tensor:
        """A scalar, in float32, of ``logits`` (batch, class, z, y, x) and ``label`` (batch, z, y, x) class indices.

        In the cross-entropy a voxel of a class with ``n`` voxels in the batch weighs ``n ** -balance``: with 0 every
        voxel counts alike, with 1 every class that is there does.
        """
        logits, label = logits.float(), label.long()
        classes = torch.arange(logits.shape[1], device=logits.device)
        counts = torch.stack([(label == value).sum() for value in classes]).clamp(min=1)
        weight = (counts / label.numel()) ** -balance
        return self._dice(logits, label[:, None]) + F.cross_entropy(logits, label, weight)
