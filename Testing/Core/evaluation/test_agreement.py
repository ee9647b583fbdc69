import numpy as np
import pytest

from voxmmsd.evaluation.agreement import limits_of_agreement


def test_bias_and_limits_of_three_cases_by_hand():
    found = limits_of_agreement(np.array([[10.0, 11.0], [20.0, 22.0], [30.0, 33.0]]))
    assert found.bias_ml == pytest.approx(2.0)
    assert (found.low_ml, found.high_ml) == pytest.approx((2 - 1.96, 2 + 1.96))


def test_one_case_has_a_bias_and_no_limits():
    found = limits_of_agreement(np.array([[10.0, 11.0]]))
    assert found.bias_ml == 1.0
    assert np.isnan(found.low_ml)
