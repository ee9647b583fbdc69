"""Steps whose loss or gradient is not finite: skipped and reported, and the end of a training if they do not stop."""

from __future__ import annotations

from collections.abc import Sequence

from voxmmsd.errors import RunError
from voxmmsd.runs import RunLog

SKIPS_IN_A_ROW = 10  # steps without a finite loss after which a training is beyond hope


class StepGuard:
    """Counts how many steps were skipped in a row."""

    def __init__(self, run: RunLog) -> None:
        self.in_a_row = 0
        self._run = run

    def judge(self, step: int, skipped: Sequence[bool]) -> None:
        """Report which of the last steps before ``step`` were skipped.

        Raises:
            RunError: too many in a row; they did not change the weights, so the last checkpoint is valid.
        """
        steps = [step - len(skipped) + number for number, skip in enumerate(skipped) if skip]
        if steps:
            self._run.warn(f"the loss or a gradient was not finite at step {', '.join(map(str, steps))}: skipped")
        for skip in skipped:
            self.in_a_row = self.in_a_row + 1 if skip else 0
            if self.in_a_row >= SKIPS_IN_A_ROW:
                raise RunError(
                    f"{self._run.folder}: {SKIPS_IN_A_ROW} steps in a row without a finite loss",
                    "the last checkpoint is kept; look for a damaged case, or start a new run with a smaller "
                    "--learning-rate",
                )
