"""*Add a resection cavity*: a tissue that the model does not know, to be painted and carried.

The other labels keep their values, so that Undo, earlier carries and saved scenes stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from voxmmsd.labels import WITH_CAVITY, schema_with_cavity
from VoxMMSDLib.pages import Page
from VoxMMSDLib.segments import SCHEMA, VALUE, add_segment, schema_of, segments_by_value

if TYPE_CHECKING:
    from voxmmsd.labels import LabelSchema


class CavityButton:
    """Follows one result. The button is always there: Slicer's dock gives a section no more height where one appears
    later."""

    def __init__(self, ui: Page) -> None:
        self._ui = ui
        self._result: Any = None
        self._tip = ui.cavityButton.toolTip
        ui.cavityButton.connect("clicked()", self.add)
        self.update()

    def show(self, result: Any) -> None:
        """Follow another result, or none."""
        self._result = result
        self.update()

    def update(self) -> None:
        """See whether a cavity can be added; Undo may have taken one away."""
        why_not = self._why_not()
        self._ui.cavityButton.setEnabled(not why_not)
        self._ui.cavityButton.setToolTip(why_not or self._tip)

    def add(self) -> None:
        """An empty segment of a cavity, which the editor's effects work on from now; one step of Undo."""
        result, editor = self._result, self._ui.segmentEditor
        if self._why_not():
            return
        wider = wider_schema(result)
        assert wider is not None, "else there was a reason why not"
        label = wider.labels[-1]
        editor.setSegmentationNode(result)
        editor.saveStateForUndo()
        result.SetAttribute(SCHEMA, wider.name)
        add_segment(result.GetSegmentation(), label.key, label.name, label.color, label.terminology)
        result.GetSegmentation().GetSegment(label.key).SetTag(VALUE, str(label.value))
        editor.setCurrentSegmentID(label.key)
        self.update()

    def _why_not(self) -> str:
        """Why none can be added; empty where one can."""
        if self._result is None:
            return _("There is no result to correct yet.")
        wider = wider_schema(self._result)
        if wider is None:
            return _("A resection cavity can be added to results of models for adult glioma that do not know it.")
        if wider.labels[-1].value in segments_by_value(self._result):
            return _("This result has a resection cavity: choose it in the list above, and paint.")
        return ""


def wider_schema(result: Any) -> LabelSchema | None:
    """The result's labels and a cavity, which may have been among them before; None where none can be added."""
    schema = schema_of(result)
    return schema if schema.name.endswith(WITH_CAVITY) else schema_with_cavity(schema)
