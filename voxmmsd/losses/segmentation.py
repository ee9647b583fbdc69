"""Dice + cross-entropy, the community's standard for fine-tuning (METHOD section 8); MONAI's, with our choices."""

from __future__ import annotations

from monai.losses import DiceCELoss
from torch import Tensor, nn


class SegmentationLoss(nn.Module):
    """Mean of soft Dice over the labels and cross-entropy over all classes.

    Dice is taken over the whole batch at once (``batch=True``), so that a patch without some label does not count
    as a total miss of it, and leaves the background out, which would only dilute it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss = DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5
        )

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """``logits`` (batch, class, z, y, x), ``label`` (batch, z, y, x) class indices; a scalar, in float32."""
        return self._loss(logits.float(), label[:, None].long())
