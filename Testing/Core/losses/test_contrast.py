import math

import pytest
import torch
from torch.nn import functional as F

from voxmmsd.losses.contrast import contrast_loss


def test_it_equals_the_formula_written_out():
    first, second = (F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(s)), dim=-1) for s in (0, 1))
    both = torch.cat([first, second])
    expected = 0.0
    for i in range(10):
        partner = (i + 5) % 10
        others = sum(math.exp(float(both[i] @ both[j]) / 0.1) for j in range(10) if j != i)
        expected -= math.log(math.exp(float(both[i] @ both[partner]) / 0.1) / others) / 10
    assert float(contrast_loss(first, second, torch.ones(5))) == pytest.approx(expected, rel=1e-4)


def test_pairs_of_weight_0_are_neither_asked_nor_offered():
    first, second = (F.normalize(torch.randn(7, 8, generator=torch.Generator().manual_seed(s)), dim=-1) for s in (0, 1))
    weight = torch.tensor([1.0] * 4 + [0.0] * 3)
    first.requires_grad_()
    loss = contrast_loss(first, second, weight)
    torch.testing.assert_close(loss, contrast_loss(first[:4], second[:4], torch.ones(4)))
    loss.backward()
    assert torch.isfinite(first.grad).all()
    assert (first.grad[4:] == 0).all()
