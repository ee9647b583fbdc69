"""What is said below the visible part of a panel is brought into sight."""

from __future__ import annotations

from typing import Any

from VoxMMSDLib.timers import once_after

LAID_OUT_MS = 50  # until a label has the room that its new words need
TIMES = 10  # that it is looked for: on a busy machine the layout follows later


class Scroller:
    """Scrolls the area in which a widget lies, once it has been laid out, so far that the widget is seen; again where
    the layout changes in the next moment, unless the user scrolls."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._times, self._left_at = 0, -1
        self._timer = once_after(LAID_OUT_MS, self._scroll)

    def start(self) -> None:
        self._times, self._left_at = TIMES, -1
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _scroll(self) -> None:
        above = self._widget.parent()
        while above is not None and not above.inherits("QScrollArea"):
            above = above.parent()
        if above is None:
            return
        bar = above.verticalScrollBar()
        is_at, end = bar.property("value"), bar.property("maximum")
        if self._left_at not in (-1, is_at) and is_at != end:  # at its end a page may have become shorter
            return
        above.ensureWidgetVisible(self._widget)
        self._left_at = bar.property("value")
        self._times -= 1
        if self._times:
            self._timer.start()
