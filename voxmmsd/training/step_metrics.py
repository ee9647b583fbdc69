"""Scalars of the steps of a training, logged as means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from voxmmsd.compute.processes import Processes, mean_of_values
from voxmmsd.runs import RunLog
from voxmmsd.training.step_guard import StepGuard


class StepMetrics:
    """Keeps the scalars of each step on the device until they are logged; only then is the device waited for.

    Steps that were skipped do not count in the means. ``log`` ends a training whose steps are all skipped.
    """

    def __init__(self, run: RunLog, processes: Processes) -> None:
        self._run, self._processes = run, processes
        self._guard = StepGuard(run)
        self._pending: list[Mapping[str, Tensor | float]] = []

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """The scalars of a step; ``skipped`` is 1 where it changed nothing."""
        self._pending.append(values)

    def log(self, step: int, rates: Mapping[str, float]) -> dict[str, float]:
        """Write the means of the steps since the last log, and ``rates``, as metrics of ``step``; returns the means.

        Raises:
            RunError: as ``StepGuard.judge``.
        """
        values = [_numbers(pending) for pending in self._pending]
        self._pending.clear()
        skipped = [bool(value.pop("skipped")) for value in values]
        self._guard.judge(step, skipped)
        good = [value for value, skip in zip(values, skipped, strict=True) if not skip] or values
        means = {name: sum(each[name] for each in good) / len(good) for name in good[0]}
        means = mean_of_values(means, self._processes)
        for name, value in {**means, **rates}.items():
            self._run.metric(step, name, value)
        return means

    def state(self) -> dict[str, Any]:
        return {"skips_in_a_row": self._guard.in_a_row, "pending": [_numbers(values) for values in self._pending]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._guard.in_a_row, self._pending = state["skips_in_a_row"], list(state["pending"])


def _numbers(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
