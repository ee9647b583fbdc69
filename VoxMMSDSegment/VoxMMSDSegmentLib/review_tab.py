"""The tab in which a result is looked at, corrected and kept."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.home import home
from VoxMMSDLib import settings
from VoxMMSDLib.child import sentence_and_way_out
from VoxMMSDLib.segments import is_result, without_value
from VoxMMSDSegmentLib.places import PLACES_ROLE, UNCERTAINTY_ROLE, Overlay, jump_to
from VoxMMSDSegmentLib.regions import rebuild, regions_node, table_node
from VoxMMSDSegmentLib.result import reference_of

if TYPE_CHECKING:
    from VoxMMSDSegmentLib.accepting import AcceptJob

REBUILD_AFTER_MS = 400
NAMES_WIDTH = 150
EDITOR_TAG = "VoxMMSDSegmentEditor"
EFFECTS = ("Paint", "Draw", "Erase", "Threshold", "Grow from seeds", "Smoothing", "Scissors", "Islands")


class ReviewTab:
    """Follows one result; observers are those of the widget that owns the tab."""

    def __init__(self, ui, logic, observe, unobserve) -> None:
        self._ui, self._logic, self._observe, self._unobserve = ui, logic, observe, unobserve
        self._result: Any = None
        self._segmentation: Any = None
        self.overlay = Overlay()
        self.accepting: AcceptJob | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REBUILD_AFTER_MS)
        self._timer.connect("timeout()", self.rebuild_now)
        self._connect()

    def _connect(self) -> None:
        ui = self._ui
        self._accept_tip = ui.acceptButton.toolTip
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", "VoxMMSD.Schema")
        ui.regionsCheck.connect("toggled(bool)", self._show_regions)
        ui.overlayCheck.connect("toggled(bool)", self._show_overlay)
        ui.thresholdSlider.connect("valueChanged(double)", self._move_threshold)
        ui.nextPlaceButton.connect("clicked()", self.next_place)
        ui.acceptButton.connect("clicked()", self._on_accept)
        ui.saveButton.connect("clicked()", self._save)
        ui.caseEdit.connect("textChanged(QString)", self._update_buttons)
        ui.volumesView.verticalHeader().setVisible(False)
        ui.volumesView.horizontalHeader().setStretchLastSection(True)
        ui.segmentEditor.setEffectNameOrder(EFFECTS)
        ui.segmentEditor.unorderedEffectsVisible = False
        ui.libraryPath.filters = ctk.ctkPathLineEdit.Dirs
        ui.libraryPath.currentPath = settings.read("library", str(home() / "library"))
        self._update_buttons()

    @property
    def result(self) -> Any:
        return self._result

    def show(self, result) -> None:
        """Follow another result, or none."""
        result = result if is_result(result) else None
        if result is self._result:
            return
        self._leave()
        self._result = result
        ui = self._ui
        self._show_volumes()
        ui.show3DButton.setSegmentationNode(result)
        ui.placesWidget.setCurrentNode(self._places())
        self._edit(result)
        if result is not None:
            self._segmentation = result.GetSegmentation()
            for event in _EDITS:
                self._observe(self._segmentation, event, self._on_edited)
        self._update_buttons()

    def _leave(self) -> None:
        self._timer.stop()
        self._ui.overlayCheck.setChecked(False)
        if self._segmentation is not None:
            for event in _EDITS:
                self._unobserve(self._segmentation, event, self._on_edited)
        self._segmentation = None
        self._ui.acceptedLabel.setText("")

    # Regions and volumes follow the edits

    def _on_edited(self, *_: Any) -> None:
        self._timer.start()

    def rebuild_now(self) -> None:
        """Regions and volumes from the segments as they are now."""
        self._timer.stop()
        reference = reference_of(self._result) if self._result is not None else None
        if reference is None or reference.GetImageData() is None:
            return
        rebuild(self._result, reference)
        # A table view does not always notice that all columns were exchanged.
        self._show_volumes()

    def _show_volumes(self) -> None:
        """The names' column as wide as they are, up to what a panel of 400 pixels leaves beside the numbers."""
        view = self._ui.volumesView
        view.setMRMLTableNode(table_node(self._result) if self._result is not None else None)
        view.resizeColumnToContents(0)
        view.setColumnWidth(0, min(view.columnWidth(0), NAMES_WIDTH))

    def _show_regions(self, shown: bool) -> None:
        node = regions_node(self._result) if self._result is not None else None
        if node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(shown)

    # Places

    def _places(self) -> Any:
        return self._result.GetNodeReference(PLACES_ROLE) if self._result is not None else None

    def next_place(self) -> None:
        places = self._places()
        count = places.GetNumberOfControlPoints() if places is not None else 0
        if not count:
            return
        table = self._ui.placesWidget.tableWidget()
        rows = sorted({item.row() for item in table.selectedItems()})
        index = (rows[-1] + 1) % count if rows else 0
        table.selectRow(index)
        jump_to(places, index)

    def _uncertainty(self) -> Any:
        return self._result.GetNodeReference(UNCERTAINTY_ROLE) if self._result is not None else None

    def _show_overlay(self, shown: bool) -> None:
        volume = self._uncertainty()
        if shown and volume is not None:
            self.overlay.show(volume, self._ui.thresholdSlider.value)
        else:
            self.overlay.hide()

    def _move_threshold(self, _value: float) -> None:
        if self.overlay.is_on:
            self._show_overlay(True)

    # Correcting

    def _edit(self, result) -> None:
        editor = self._ui.segmentEditor
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(_editor_node())
        editor.setSegmentationNode(result)
        if result is not None and reference_of(result) is not None:
            editor.setSourceVolumeNode(reference_of(result))

    def enter(self) -> None:
        self._ui.segmentEditor.installKeyboardShortcuts()
        if self._result is not None:
            self._edit(self._result)

    def exit(self) -> None:
        """Another module is shown: no effect stays active, no shortcut is kept, the views are the user's."""
        editor = self._ui.segmentEditor
        editor.setActiveEffectByName("")
        editor.uninstallKeyboardShortcuts()
        self._ui.overlayCheck.setChecked(False)

    def close(self) -> None:
        self._stop_accepting()
        self.exit()
        self.show(None)

    def forget_scene(self) -> None:
        """The scene closes: its nodes, the editor's among them, are gone."""
        self._stop_accepting()
        self.show(None)
        self._ui.segmentEditor.setMRMLSegmentEditorNode(None)

    # Keeping

    def _update_buttons(self, *_arguments: Any) -> None:
        ui, there = self._ui, self._result is not None
        places, uncertainty = self._places(), self._uncertainty()
        coded = bool(ui.caseEdit.text.strip())
        ui.acceptButton.setEnabled(there and coded and self.accepting is None)
        ui.acceptButton.toolTip = (
            _("There is no result to accept yet.")
            if not there
            else self._accept_tip
            if coded
            else _("Write a case code first: letters and digits, never a name.")
        )
        for widget in (ui.saveButton, ui.regionsCheck, ui.show3DButton):
            widget.setEnabled(there)
        ui.overlayCheck.setEnabled(uncertainty is not None)
        ui.thresholdSlider.setEnabled(uncertainty is not None)
        ui.nextPlaceButton.setEnabled(places is not None)

    def _on_accept(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The case was not accepted."), waitCursor=True):
            self.accept()

    def accept(self) -> None:
        """Put the result into the library that is chosen, under the code that is written; Slicer stays usable.

        Raises:
            LibraryError: the code is a name.
            InputError: the result's images are gone.
        """
        folder, result = Path(self._ui.libraryPath.currentPath), self._result
        self._ui.acceptedLabel.setText("")
        settings.write("library", str(folder))
        self.accepting = self._logic.accept(
            result,
            folder,
            self._ui.caseEdit.text.strip(),
            wait=False,
            on_done=lambda version: self._accepted(_accepted_in_words(version, without_value(result))),
            on_failed=lambda error: self._accepted(_not_accepted_in_words(error)),
        )
        self._ui.acceptedLabel.setText(_("The case is being written into the library ..."))
        self._ui.acceptBar.setVisible(True)
        self._update_buttons()

    def _accepted(self, said: str) -> None:
        self.accepting = None
        self._ui.acceptBar.setVisible(False)
        self._ui.acceptedLabel.setText(said)
        self._update_buttons()

    def _stop_accepting(self) -> None:
        if self.accepting is not None:
            self.accepting.close()
            self._accepted("")

    def _save(self) -> None:
        kinds = _("NIfTI (*.nii.gz);;NRRD (*.nrrd)")
        file = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save labels"), "labels.nii.gz", kinds)
        if file:
            with slicer.util.tryWithErrorDisplay(_("The labels could not be saved."), waitCursor=True):
                self._logic.save_result(self._result, Path(file))


def _accepted_in_words(version, left_out: list[str]) -> str:
    said = _("Accepted as label {number}; {changed} voxels differ from the prediction.").format(
        number=version.number, changed=version.changed_voxel_count
    )
    if not left_out:
        return said
    more = _("Left out, since the model knows no such tissue: {names}.").format(names=escape(", ".join(left_out)))
    return f"{said} {more}"


def _not_accepted_in_words(error: Exception) -> str:
    what, way_out = sentence_and_way_out(str(error))
    return f"<b>{escape(what)}</b>" + (f"<br>{escape(way_out)}" if way_out else "")


_EDITS = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
)


def _editor_node():
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
