"""Pages of a panel's tabs as Slicer shows them: each with the height that it was given as its least, and no more."""

from __future__ import annotations

import qt


class FitsItsText(qt.QObject):
    """Gives a page the least height that all of it needs at its width.

    ``page.installEventFilter(...)``: a tab widget knows nothing of text that wraps, so that what lies on a page would
    lie one on top of the other.
    """

    def eventFilter(self, page, event):
        if event.type() in (qt.QEvent.Resize, qt.QEvent.LayoutRequest):
            height = max(0, page.layout().minimumHeightForWidth(page.width))  # -1: it shows no text that wraps
            if height != page.minimumHeight:
                page.setMinimumHeight(height)
        return False
