import pytest

from voxmmsd.runs import speed
from voxmmsd.runs.speed import Speed


@pytest.fixture
def clock(monkeypatch):
    """A list whose only item is the time in seconds."""
    now = [1000.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: now[0])
    return now


def test_nothing_is_said_before_a_step_is_done(clock):
    made = Speed()
    assert made.seconds_left(10) is None
    made.mark(0)
    clock[0] += 5
    made.mark(0)  # a stage without steps
    assert made.seconds_left(10) is None


def test_a_slow_start_is_forgotten(clock):
    made = Speed(stretch_seconds=60)
    made.mark(0)
    clock[0] += 300  # the first step prepares
    for step in range(1, 101):
        made.mark(step)
        clock[0] += 1
    assert made.seconds_left(50) == pytest.approx(50, rel=0.05)
    assert made.seconds_left(-1) == 0


def test_steps_that_take_longer_than_the_stretch_count_too(clock):
    made = Speed(stretch_seconds=60)
    for step in range(5):
        made.mark(step)
        clock[0] += 100
    assert made.seconds_left(3) == pytest.approx(300)
