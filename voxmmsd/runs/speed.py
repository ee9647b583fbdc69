"""Speed of a run, to estimate the remaining time."""

from __future__ import annotations

import time


class Speed:
    """Seconds per step over a recent stretch, so that a slow start does not spoil the estimate."""

    def __init__(self, stretch_seconds: float = 60.0) -> None:
        self._stretch = stretch_seconds
        self._marks: list[tuple[float, int]] = []

    def mark(self, step: int) -> None:
        at = time.monotonic()
        self._marks.append((at, step))
        while len(self._marks) > 2 and at - self._marks[1][0] > self._stretch:
            self._marks.pop(0)

    def seconds_left(self, steps: int) -> float | None:
        if len(self._marks) < 2 or self._marks[-1][1] <= self._marks[0][1]:
            return None
        (t0, s0), (t1, s1) = self._marks[0], self._marks[-1]
        return max(0, steps) * (t1 - t0) / (s1 - s0)
