"""What is said below the visible part of a panel is brought into sight."""

from __future__ import annotations

from typing import Any

import qt

LAID_OUT_MS = 50  # until a label has the room that its new words need


class Scroller:
    """Scrolls the area in which a widget lies, once it has been laid out, so far that the widget is seen."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(LAID_OUT_MS)
        self._timer.connect("timeout()", self._scroll)

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _scroll(self) -> None:
        above = self._widget.parent()
        while above is not None and not above.inherits("QScrollArea"):
            above = above.parent()
        if above is not None:
            above.ensureWidgetVisible(self._widget)
