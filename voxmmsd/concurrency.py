"""Work side by side, in threads: NumPy, SciPy, zlib and the engines let others run while they compute.

What happens is what would happen one after the other: results in the order of the work, and the error of the work that
comes first in that order, whichever failed first. Nothing is left running when a function here returns or raises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_MAX_PER_CORE = 4  # thousands of them would only take memory
_MAX_ON_WINDOWS = 61  # ProcessPoolExecutor refuses more there

One = TypeVar("One")
Other = TypeVar("Other")


def usable_cores() -> int:
    """Cores that this process may use: in a container or a job of a cluster, often fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def process_count(asked: int, jobs: int) -> int:
    """How many processes share ``jobs``: those ``asked`` for (0: one per usable core), as far as they are of use."""
    most = _MAX_ON_WINDOWS if sys.platform == "win32" else jobs
    return max(1, min(asked or usable_cores(), jobs, _MAX_PER_CORE * (os.cpu_count() or 1), most))


def both(first: Callable[[], One], second: Callable[[], Other], at_once: bool = True) -> tuple[One, Other]:
    """What two functions return; ``second`` in a thread of its own. ``at_once`` False: one after the other."""
    if not at_once:
        return first(), second()
    with ThreadPoolExecutor(1, "second") as pool:
        beside = pool.submit(second)
        return first(), beside.result()


def mapped(function: Callable[[One], Other], items: Sequence[One], at_once: bool = True) -> list[Other]:
    """What the function returns for each item; ``at_once``: each item in a thread of its own."""
    if not at_once or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(len(items), "mapped") as pool:
        return list(pool.map(function, items))
