import math

import pytest

from voxmmsd.corrections.verdict import HoldOutCase, judge

NAN = math.nan


def case(number, old, new, unfair="", patient=None):
    return HoldOutCase(f"c{number}", patient or f"p{number}", {"WT": old}, {"WT": new}, unfair)


def test_better_on_most_but_few_patients_is_said_as_it_is():
    verdict = judge([case(n, 0.7, 0.7 + gain) for n, gain in enumerate((0.05, 0.02, 0.08, 0.03, -0.04))])
    assert verdict.text.startswith("better on 4 of 5 hold-out patients (mean Dice +0.028, 95 % interval -0.0")
    assert verdict.text.endswith("too few to be sure")
    assert (verdict.outcome, verdict.sure, verdict.few, verdict.better, verdict.worse) == ("better", False, False, 4, 1)
    assert verdict.regions == {"WT": (pytest.approx(0.7), pytest.approx(0.728))}


def test_a_steady_gain_is_sure_and_a_steady_loss_is_worse():
    up = judge([case(n, 0.6, 0.65 + 0.01 * (n % 2)) for n in range(6)])
    assert (up.outcome, up.sure) == ("better", True)
    assert up.text.endswith("; statistically significant")
    down = judge([case(n, 0.65 + 0.01 * (n % 2), 0.6) for n in range(6)])
    assert (down.outcome, down.sure) == ("worse", True)
    assert down.text.startswith("worse on 6 of 6")


def test_the_interval_is_students():
    verdict = judge([case(n, 0.5, 0.5 + gain) for n, gain in enumerate((0.1, 0.2, 0.3))])
    reach = 4.302653 * 0.1 / math.sqrt(3)
    assert verdict.interval == (pytest.approx(0.2 - reach, abs=1e-5), pytest.approx(0.2 + reach, abs=1e-5))


def test_unfair_cases_are_named_and_change_nothing():
    fair = [case(n, 0.5, 0.6) for n in range(4)]
    verdict = judge([*fair, case(8, 0.1, 0.9, "its label was drawn over the output of m-2")])
    assert verdict.unfair == {"c8": "its label was drawn over the output of m-2"}
    assert (verdict.difference, verdict.patients) == (judge(fair).difference, 4)
    assert verdict.text.endswith("1 of 5 hold-out cases do not count")


def test_a_patient_counts_once_however_many_cases_it_has():
    verdict = judge([case(1, 0.5, 0.6, patient="p"), case(2, 0.5, 0.8, patient="p"), case(3, 0.5, 0.4)])
    assert (verdict.patients, verdict.better, verdict.worse) == (2, 1, 1)
    assert verdict.difference == pytest.approx(0.05)


def test_regions_that_a_case_does_not_have_do_not_count():
    cases = [HoldOutCase("c1", "p1", {"WT": 0.8, "ET": NAN}, {"WT": 0.9, "ET": NAN}), case(2, NAN, NAN)]
    verdict = judge(cases)
    assert (verdict.patients, verdict.difference) == (1, pytest.approx(0.1))
    assert verdict.regions["ET"] == (None, None)


@pytest.mark.parametrize("cases", [[], [case(1, 0.5, 0.9, "learned")]], ids=["none", "all unfair"])
def test_without_a_fair_case_nothing_is_said(cases):
    verdict = judge(cases)
    assert (verdict.outcome, verdict.difference, verdict.few) == ("unknown", None, True)
    assert verdict.text.startswith("no comparison is possible")


def test_one_patient_is_no_ground_to_be_sure():
    verdict = judge([case(1, 0.2, 0.9)])
    assert (verdict.interval, verdict.sure, verdict.few) == (None, False, True)
    assert "too few to be sure" in verdict.text


def test_a_hair_of_a_difference_is_none():
    assert judge([case(n, 0.5, 0.503) for n in range(4)]).outcome == "alike"
