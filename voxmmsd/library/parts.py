"""Assignment of patients to training or hold-out: decided once, when they are added."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from voxmmsd.library.records import HOLD_OUT, TRAINING, CaseRecord, Part


def drawn_part(known: Iterable[CaseRecord], hold_out_share: float, seed: int) -> Part:
    """The part of the next new patient: one random patient in every block of 1 / share is held out.

    Permuted blocks, as in clinical trials: the fraction is right after few patients, and the next one is unpredictable.
    """
    if hold_out_share <= 0:
        return TRAINING
    number = len({entry.patient for entry in known if entry.drawn})
    size = max(1, round(1 / hold_out_share))
    block, place = divmod(number, size)
    chosen = int(np.random.default_rng([seed, block]).integers(size))
    return HOLD_OUT if place == chosen else TRAINING
