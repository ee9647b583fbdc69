"""The mean of scores of which some could not be computed. numpy only, since a panel reads it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

NAN = float("nan")


def nan_mean(values: Iterable[float | None]) -> float:
    """Mean of the values that are finite numbers; NaN if there is none."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(numbers)) if numbers else NAN
