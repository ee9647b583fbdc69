"""Timers that go off once."""

from __future__ import annotations

from collections.abc import Callable

import qt

DOUBLE_CLICK_MS = 700  # the second click of a double click on a button is none on the Cancel that it becomes


def once_after(milliseconds: int, act: Callable[[], None]):
    """A timer that calls ``act`` once, that long after its last ``start()``."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", act)
    return timer
