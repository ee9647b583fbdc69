"""Pages of a panel's tabs as Slicer shows them: each with the height that it was given as its least, and no more."""

from __future__ import annotations

import qt

SETTLED_MS = 100  # after which a page has the height of its new text: its parents hear of it one after the other


def bring_into_view(widget) -> None:
    """Scroll the panel so that a notice that has just got its text is seen."""
    qt.QTimer.singleShot(SETTLED_MS, lambda: _scroll_to(widget))


def _scroll_to(widget) -> None:
    area = widget.parent()
    while area is not None and not area.inherits("QScrollArea"):
        area = area.parent()
    if area is not None and widget.visible:
        area.ensureWidgetVisible(widget)


class FitsItsText(qt.QObject):
    """Gives a page the least height that all of it needs at its width.

    ``page.installEventFilter(...)``: a tab widget knows nothing of text that wraps, so that what lies on a page would
    lie one on top of the other.
    """

    def eventFilter(self, page, event):
        if event.type() in (qt.QEvent.Resize, qt.QEvent.LayoutRequest):
            height = page.layout().minimumHeightForWidth(page.width)
            if height != page.minimumHeight:
                page.setMinimumHeight(height)
        return False
