import math

import numpy as np
import pytest
import torch

from voxmmsd.losses.restoration import restoration_loss


def test_the_error_equals_the_authors(golden):
    known = np.load(golden / "restoration.npz")
    loss = restoration_loss(torch.from_numpy(known["prediction"]), torch.from_numpy(known["target"]))
    assert float(loss) == pytest.approx(float(known["loss"]), rel=1e-6)


def test_the_error_is_that_of_the_prediction_brought_below_1():
    prediction = torch.tensor([-3.0, 0.0, 0.5, 3.0]).reshape(1, 4, 1, 1, 1).expand(2, 4, 3, 3, 3)
    expected = sum(abs(math.tanh(value) - 0.25) for value in (-3.0, 0.0, 0.5, 3.0)) / 4
    assert float(restoration_loss(prediction, torch.full((2, 4, 3, 3, 3), 0.25))) == pytest.approx(expected)


def test_absent_and_constant_modalities_leave_the_loss():
    prediction, target = torch.zeros(2, 4, 3, 3, 3), torch.zeros(2, 4, 3, 3, 3)
    target[0, 1], target[1, 2] = 0.5, 1.0
    informative = torch.zeros(2, 4, dtype=torch.bool)
    informative[0, 1] = informative[1, 3] = True
    assert float(restoration_loss(prediction, target, informative)) == pytest.approx(0.25)
    assert float(restoration_loss(prediction, target, torch.zeros(2, 4, dtype=torch.bool))) == 0
