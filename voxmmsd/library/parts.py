"""Which patients train and which are held out to judge by: decided on entry, for good."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from voxmmsd.library.records import HOLD_OUT, TRAINING, CaseRecord


def drawn_part(known: Iterable[CaseRecord], hold_out_share: float, seed: int) -> str:
    """Of the next new patient: in every block of 1 / share patients one, chosen at random, is held out.

    Permuted blocks, as trials use them: the share is right after few patients already, and nobody can tell who is next.
    """
    if hold_out_share <= 0:
        return TRAINING
    number = len({entry.patient for entry in known if entry.drawn})
    size = max(1, round(1 / hold_out_share))
    block, place = divmod(number, size)
    chosen = int(np.random.default_rng([seed, block]).integers(size))
    return HOLD_OUT if place == chosen else TRAINING
