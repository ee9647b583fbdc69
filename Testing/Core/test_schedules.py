import json
from itertools import pairwise

import pytest

from voxmmsd.schedules import cosine, teacher_temperature, warmed_cosine


def test_schedules_equal_the_authors(golden):
    stored = json.loads((golden / "schedules.json").read_text(encoding="utf-8"))
    for index, step in enumerate(stored["iterations"]):
        assert warmed_cosine(step, 60_000, 2000, 1e-3, 1e-4) == pytest.approx(stored["learning_rate"][index], abs=1e-12)
        assert cosine(step, 60_000, 1e-5, 1e-4) == pytest.approx(stored["weight_decay"][index], abs=1e-12)
        assert cosine(step, 60_000, 0.996, 1.0) == pytest.approx(stored["teacher_momentum"][index], abs=1e-12)
    for epoch, temperature in enumerate(stored["teacher_temperature_by_epoch"]):
        assert teacher_temperature(epoch) == pytest.approx(temperature, abs=1e-12)


def test_a_schedule_rises_over_the_warm_up_and_falls_after_it():
    rates = [warmed_cosine(step, 100, 10, 1.0, 0.01) for step in range(100)]
    assert rates[0] == 0
    assert rates[9] == 1
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.01, abs=0.01)


def test_without_warm_up_it_starts_at_the_peak():
    assert warmed_cosine(0, 30, 0, 1.0, 0.1) == 1.0
