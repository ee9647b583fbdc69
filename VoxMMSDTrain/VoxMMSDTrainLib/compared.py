"""Two or three segmentations of a case, to be told apart: all as outlines, each in one color, or one of them filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.pages import Page
from VoxMMSDTrainLib.curves import color_of, square

OUTLINE_PIXELS = 2


@dataclass(frozen=True)
class Shown:
    """A segmentation, what it is called, and the number of its color."""

    title: str
    node: object
    color: int


class Compared:
    """The choice below the cases of the tab Result, and what it does to the nodes' display."""

    def __init__(self, ui: Page) -> None:
        self._ui = ui
        self._shown: tuple[Shown, ...] = ()
        ui.shownChoice.connect("currentIndexChanged(int)", self._apply)
        self.clear()

    def show(self, shown: Sequence[Shown]) -> None:
        """Offer these, which are outlined already."""
        self._shown = tuple(shown)
        choice = self._ui.shownChoice
        was_blocked = choice.blockSignals(True)
        choice.clear()
        choice.addItems([_("all, as outlines"), *(one.title for one in self._shown)])
        choice.setCurrentIndex(0)
        choice.blockSignals(was_blocked)
        self._ui.shownLegend.setText(" &nbsp; ".join(f"{square(one.color)} {one.title}" for one in self._shown))
        self._ui.shownLegend.setVisible(True)
        self._ui.shownBox.setVisible(True)

    def shows(self, shown: Sequence[Shown]) -> bool:
        """Whether it is these that are in the scene."""
        return self.is_shown and self._shown == tuple(shown)

    @property
    def is_shown(self) -> bool:
        """Whether the segmentations are in the scene."""
        return bool(self._shown) and all(slicer.mrmlScene.IsNodePresent(one.node) for one in self._shown)

    def clear(self) -> None:
        """There is nothing to compare."""
        self._shown = ()
        self._ui.shownBox.setVisible(False)

    def forget_removed(self) -> None:
        """After nodes went: another case was opened, or the scene was closed."""
        if not self.is_shown:
            self.clear()

    def _apply(self, *_arguments) -> None:
        self.forget_removed()
        chosen = self._ui.shownChoice.currentIndex - 1
        self._ui.shownLegend.setVisible(chosen < 0)
        for number, one in enumerate(self._shown):
            if chosen < 0:
                outline(one.node, one.color)
            else:
                _fill(one.node, is_visible=number == chosen)


def outline(node, color: int, is_shown: bool = True) -> None:
    """Show a segmentation as outlines, all in the color of that number.

    ``is_shown``: false where it has these looks only once it is shown.
    """
    display = node.GetDisplayNode()
    was_modifying = display.StartModify()
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        display.SetSegmentOverrideColor(segment_id, *color_of(color))
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
    display.SetVisibility(is_shown)
    display.EndModify(was_modifying)


def _fill(node, is_visible: bool) -> None:
    display = node.GetDisplayNode()
    was_modifying = display.StartModify()
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        display.UnsetSegmentOverrideColor(segment_id)
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetVisibility(is_visible)
    display.EndModify(was_modifying)
