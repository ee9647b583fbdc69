"""Medians of the errors of volumes."""

from voxmmsd.evaluation.volume_errors import median_errors


def test_errors_are_medians_in_ml_and_in_percent_of_what_the_expert_drew():
    cases = [
        ({"WT": 100.0, "ET": 10.0}, {"WT": 90.0, "ET": 12.0}),
        ({"WT": 50.0, "ET": 0.0}, {"WT": 52.0, "ET": 3.0}),
        ({"WT": 10.0, "ET": 5.0}, {"WT": 15.0, "ET": 5.0}),
    ]
    assert median_errors(cases) == {"WT": {"ml": 5.0, "percent": 10.0}, "ET": {"ml": 2.0, "percent": 10.0}}


def test_there_is_no_percentage_of_nothing_and_no_error_without_cases():
    assert median_errors([({"ET": 0.0}, {"ET": 1.0})]) == {"ET": {"ml": 1.0, "percent": None}}
    assert median_errors([]) == {}
