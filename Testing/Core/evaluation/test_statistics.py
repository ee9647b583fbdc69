import numpy as np
import pytest

from voxmmsd.evaluation.statistics import paired

NAN = np.nan


def test_a_constant_gain_has_no_spread():
    found = paired(np.full((3, 4, 2), 0.1))
    assert (found.effect, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (found.draws, found.patients) == ((3, 0), (4, 0))


def test_one_draw_of_one_patient_tells_no_interval():
    found = paired(np.full((1, 2, 3), 0.03), patients=("a", "a"))
    assert found.effect == pytest.approx(0.03)
    assert np.isnan([found.low, found.high]).all()


def test_the_effect_is_the_mean_of_the_regions_means_over_patients_who_have_them():
    differences = np.array([[[0.2, 0.1], [0.4, NAN]]])  # one draw, two patients, the second without ET
    found = paired(differences)
    assert found.effect == pytest.approx((0.3 + 0.1) / 2)
    assert found.patients == (2, 0)
    assert 0.15 - 1e-9 <= found.low < found.effect < found.high <= 0.4 + 1e-9


def test_signs_are_counted_over_draws_and_over_patients_and_ties_in_neither():
    differences = np.array([[[0.1], [-0.2], [0.0]], [[0.3], [-0.2], [0.0]]])
    found = paired(differences)
    assert found.draws == (1, 1)
    assert found.patients == (1, 1)


@pytest.mark.parametrize("shape", [(400, 1, 1), (1, 400, 1)], ids=["draws", "patients"])
def test_the_interval_is_that_of_a_mean_of_many_independent_draws_or_patients(shape):
    values = np.random.default_rng(1).normal(0.05, 0.1, shape)
    found = paired(values)
    half = 1.96 * values.std() / 20
    assert found.high - found.effect == pytest.approx(half, rel=0.1)
    assert found.effect - found.low == pytest.approx(half, rel=0.1)


def test_patients_alike_in_all_draws_still_widen_the_interval():
    """Were every number taken as independent, three draws of five patients would count as fifteen patients."""
    by_patient = np.tile(np.random.default_rng(2).normal(0, 0.1, (1, 5, 1)), (3, 1, 1))
    assert paired(by_patient).high == pytest.approx(paired(by_patient[:1]).high, rel=0.05)


def test_nothing_to_compare_is_no_number():
    found = paired(np.full((2, 2, 1), NAN))
    assert np.isnan([found.effect, found.low, found.high]).all()
    assert (found.draws, found.patients) == ((0, 0), (0, 0))


def test_several_cases_of_a_patient_are_resampled_together():
    of_patients = np.random.default_rng(0).normal(size=(3, 12, 2))
    twice = np.repeat(of_patients, 2, axis=1)
    whose = [f"p{number // 2}" for number in range(24)]
    together, expected = paired(twice, whose), paired(of_patients)
    assert (together.low, together.high) == pytest.approx((expected.low, expected.high))
    assert together.patients == expected.patients
    alone = paired(twice)
    assert alone.high - alone.low < together.high - together.low
