"""Pages of a panel's tabs: their widgets by name, and the height that Slicer must leave them."""

from __future__ import annotations

from typing import Any, Protocol

import qt


class Page(Protocol):
    """The widgets of a ``.ui`` file by their names there.

    ``Testing/headless_slicer/test_pages.py`` checks that each name that is used is in the file.
    """

    def __getattr__(self, name: str, /) -> Any: ...


class FitsItsText(qt.QObject):
    """Gives a page the least height that all of it needs at its width.

    ``page.installEventFilter(...)``: a tab widget knows nothing of text that wraps, so that the widgets of a
    page would overlap.
    """

    def eventFilter(self, page, event):
        if event.type() in (qt.QEvent.Resize, qt.QEvent.LayoutRequest):
            height = max(0, page.layout().minimumHeightForWidth(page.width))  # -1: it shows no text that wraps
            if height != page.minimumHeight:
                page.setMinimumHeight(height)
        return False
