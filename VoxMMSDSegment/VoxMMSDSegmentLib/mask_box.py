"""A row below a result: the brain mask that was made for it, to look at, to correct and to use again.

The row is always there: Slicer's dock gives a section no more height where a row appears later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from VoxMMSDLib.pages import Page
from VoxMMSDLib.segment_editor import open_segment_editor
from VoxMMSDSegmentLib.brain_masks import adopt, mask_of_result, show_mask
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.result import reference_of
from VoxMMSDSegmentLib.words import error_in_words


class MaskBox:
    """Follows one result; ``on_used`` is called once its mask has become an input."""

    def __init__(self, ui: Page, logic: VoxMMSDSegmentLogic, on_used: Callable[[], None]) -> None:
        self._ui, self._logic, self._on_used = ui, logic, on_used
        self._result: Any = None
        self.row = qt.QWidget()
        self.row.setObjectName("maskRow")
        self.shown_check = qt.QCheckBox(_("Show brain mask"))
        self.shown_check.setToolTip(
            _("The outline of what was taken for the brain. Look at it before you trust the result.")
        )
        self.edit_button = qt.QPushButton(_("Correct..."))
        self.edit_button.setToolTip(_("Open the mask in the Segment Editor."))
        self.use_button = qt.QPushButton(_("Use this mask"))
        self.use_button.setToolTip(_("Choose the mask, as it is now, for the next segmentation of these images."))
        layout = qt.QHBoxLayout(self.row)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.shown_check, self.edit_button, self.use_button):
            layout.addWidget(widget)
        ui.resultSection.layout().addWidget(self.row)
        self.shown_check.connect("toggled(bool)", self._show)
        self.edit_button.connect("clicked()", self._edit)
        self.use_button.connect("clicked()", self._use)
        self.show(None)

    def show(self, result: Any) -> None:
        """Follow another result, or none."""
        self._result = result
        mask = mask_of_result(result)
        for widget in (self.shown_check, self.edit_button, self.use_button):
            widget.setEnabled(mask is not None)
        self.shown_check.setChecked(mask is not None and bool(mask.GetDisplayNode().GetVisibility()))

    def _show(self, shown: bool) -> None:
        show_mask(self._result, shown)

    def _edit(self) -> None:
        if (mask := mask_of_result(self._result)) is None:  # deleted meanwhile
            return
        try:
            open_segment_editor(mask, reference_of(self._result))
        except VoxMMSDError as error:
            self._ui.stageLabel.setText(" ".join(error_in_words(error)))

    def _use(self) -> None:
        if (mask := mask_of_result(self._result)) is None:
            return
        adopt(mask)
        self._on_used()  # before it is chosen: what is made here is not offered as an input
        self._logic.getParameterNode().brainMask = mask
        self._ui.tabs.setCurrentWidget(self._ui.segmentTab)
        self._ui.stageLabel.setText(_("The mask is chosen: Apply segments with it."))
