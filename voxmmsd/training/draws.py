"""What random numbers of a training are drawn for: each purpose has its own, whatever else is drawn."""

from __future__ import annotations

from enum import IntEnum


class Draw(IntEnum):
    """Part of a generator's seed, beside the seed of the run and the step or position. Never change a value."""

    DROPOUT = 0xD0
    CASE_ORDER = 0xCA5E
    BLOCK = 0xB10C
    MASK_AND_VIEWS = 0x71E3
    VALIDATION_VIEWS = 0x9E7
    PATCH = 0x9A7C
    LISTED_TRANSFORMS = 0xD1A6
    INTENSITY = 0x1127
    KEPT_PLACES = 0xF07E
