"""The tab in which a result is looked at, corrected and kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from html import escape
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib import library_folder
from VoxMMSDLib.background import Steps, at_once
from VoxMMSDLib.pages import Page
from VoxMMSDLib.segments import MODEL, is_result, without_value
from VoxMMSDLib.sight import Scroller
from VoxMMSDLib.slice_views import with_labels
from VoxMMSDLib.timers import once_after
from VoxMMSDSegmentLib.accepting import AcceptJob, question_before
from VoxMMSDSegmentLib.carry_box import CarryBox
from VoxMMSDSegmentLib.cavity_button import CavityButton
from VoxMMSDSegmentLib.colors import signal_color
from VoxMMSDSegmentLib.dicom_box import DicomBox
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.mask_box import MaskBox
from VoxMMSDSegmentLib.places import PLACES_ROLE, UNCERTAINTY_ROLE, Overlay, jump_to
from VoxMMSDSegmentLib.regions import rebuild, regions_node, table_node
from VoxMMSDSegmentLib.report_box import ReportBox
from VoxMMSDSegmentLib.result import input_of, is_image_of, reference_of, show_result, warnings_of
from VoxMMSDSegmentLib.saving import with_ending
from VoxMMSDSegmentLib.sights import center_3d, jump_to_tumor
from VoxMMSDSegmentLib.words import error_in_words, in_panel_words

Observe = Callable[[Any, Any, Callable[..., None]], Any]  # a node, an event, what hears of it

REBUILD_AFTER_MS = 400
NAMES_WIDTH = 150
TITLES_MARGIN = 12  # titles are a little higher than rows, and there is a frame
EDITOR_TAG = "VoxMMSDSegmentEditor"
EFFECTS = ("Paint", "Draw", "Erase", "Threshold", "Grow from seeds", "Smoothing", "Scissors", "Islands")


class ReviewTab:
    """Follows one result; observers are those of the widget that owns the tab; ``on_nodes`` hears of new nodes."""

    def __init__(
        self,
        ui: Page,
        logic: VoxMMSDSegmentLogic,
        observe: Observe,
        unobserve: Observe,
        on_nodes: Callable[[], None],
    ) -> None:
        self._ui, self._logic, self._observe, self._unobserve = ui, logic, observe, unobserve
        self._result: Any = None
        self._segmentation: Any = None
        self._regions_are_of: Any = None  # the result whose regions are known to be those of its segments
        self._is_entered = False
        self._unseen: Any = None  # a result that arrived while another module was shown
        self._images_of_case: set[str] = set()
        self.overlay = Overlay()
        self.accepting: AcceptJob | None = None
        self.carry = CarryBox(ui, logic, self._show_places, on_nodes)
        self.cavity = CavityButton(ui)
        self.mask = MaskBox(ui, logic, on_nodes)
        self._timer = once_after(REBUILD_AFTER_MS, self.rebuild_now)
        self._scroller = Scroller(ui.acceptedLabel)
        self.dicom = DicomBox(ui, self._say_kept)
        self._to_top = Scroller(ui.resultSelector)
        self.reports = ReportBox(ui, logic, self._say_kept)
        self._connect()

    def _connect(self) -> None:
        ui = self._ui
        self._accept_tip = ui.acceptButton.toolTip
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", MODEL)
        ui.regionsCheck.connect("toggled(bool)", self._show_regions)
        ui.show3DButton.connect("toggled(bool)", self._center_3d)
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
        _keep_terms(ui.segmentEditor)
        _keep_geometry(ui.segmentEditor)
        ui.segmentEditor.autoShowSourceVolumeNode = False
        ui.tabs.connect("currentChanged(int)", self._attend_editor)
        ui.libraryPath.filters = ctk.ctkPathLineEdit.Dirs
        ui.libraryPath.currentPath = library_folder.kept()
        ui.libraryPath.connect("currentPathChanged(QString)", library_folder.keep_if_there)
        self._update_buttons()

    @property
    def result(self) -> Any:
        return self._result

    def show(self, result) -> None:
        """Follow another result, or none."""
        result = result if is_result(result) else None
        self.mask.show(result)  # that of the same result may be another now
        if result is self._result:
            return
        self._leave()
        if self._is_entered and self._result is not None and result is not None:
            show_result(result)  # chosen in place of another one
        self._result = result
        ui = self._ui
        self._show_warnings()
        self._show_volumes()
        self._show_regions(ui.regionsCheck.checked)
        self._mark_places(self._is_entered)
        ui.show3DButton.setSegmentationNode(result)
        ui.placesWidget.setCurrentNode(self._places())
        self._edit(result)
        self.carry.show(result)
        self.cavity.show(result)
        self.dicom.show(result)
        self._forget_code_of_another_case()
        if result is not None:
            self._segmentation = result.GetSegmentation()
            for event in _EDITS:
                self._observe(self._segmentation, event, self._on_edited)
            if result is not self._regions_are_of:  # it may have been edited while another one was followed
                self._timer.start()
        self._regions_are_of = None
        self._update_buttons()

    def take_up(self, result) -> Steps:
        """What takes long when a new result is shown, in steps: ``show`` then finds it done.

        The result that is shown may have new labels of a model: what was said of those before does not hold for them.
        """
        if result is self._result:
            self._show_renewed()
        self._regions_are_of = result
        self._mark_places(False)
        yield
        yield from self._edit_steps(result)
        yield
        self._ui.placesWidget.setCurrentNode(_places_of(result))
        yield
        _mark(_places_of(result), self._is_entered)
        yield  # drawn before the rest

    def _show_renewed(self) -> None:
        self._ui.checkedCheck.setChecked(False)
        self._ui.overlayCheck.setChecked(False)
        if self.accepting is None:
            self._ui.acceptedLabel.setText("")
        self._show_warnings()
        self._update_buttons()

    def _leave(self) -> None:
        self._timer.stop()
        self._ui.overlayCheck.setChecked(False)
        self._show_regions(False)
        self._mark_places(False)
        if self._segmentation is not None:
            for event in _EDITS:
                self._unobserve(self._segmentation, event, self._on_edited)
        self._segmentation = None
        self._ui.checkedCheck.setChecked(False)  # of the result before
        self._ui.acceptedLabel.setText("")

    # Regions and volumes follow the edits

    def _on_edited(self, *_: Any) -> None:
        self.carry.edited()
        self._timer.start()

    def rebuild_now(self) -> None:
        """Regions and volumes from the segments as they are now."""
        self._timer.stop()
        reference = reference_of(self._result) if self._result is not None else None
        if reference is None or reference.GetImageData() is None:
            return
        rebuild(self._result, reference)
        self.carry.look()
        self.cavity.update()
        # A table view does not always notice that all columns were exchanged.
        self._show_volumes()

    def _show_volumes(self) -> None:
        """All rows, and the names' column as wide as they are, up to what 400 pixels leave beside the numbers."""
        view, table = self._ui.volumesView, table_node(self._result) if self._result is not None else None
        view.setMRMLTableNode(table)
        view.resizeColumnToContents(0)
        view.setColumnWidth(0, min(view.columnWidth(0), NAMES_WIDTH))
        rows = table.GetNumberOfRows() if table is not None else 0
        view.setVisible(bool(rows))
        view.setFixedHeight((rows + 1) * view.rowHeight(0) + TITLES_MARGIN)

    def _show_warnings(self) -> None:
        """What the images were warned of, beside the result that was made of them."""
        warnings = warnings_of(self._result) if self._result is not None else []
        label = self._ui.warningsLabel
        color = signal_color("warning", label.palette)
        rows = [f'<span style="color:{color}">⚠</span> {escape(in_panel_words(text))}' for text in warnings]
        label.setText("<br>".join(rows))
        label.setVisible(bool(rows))

    def _show_regions(self, shown: bool) -> None:
        node = regions_node(self._result) if self._result is not None else None
        if node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(shown)

    # Places

    def _places(self) -> Any:
        return _places_of(self._result)

    def _show_places(self) -> None:
        """The list of places is another now."""
        self._ui.placesWidget.setCurrentNode(self._places())
        self._ui.placesWidget.tableWidget().scrollToTop()
        self._mark_places(self._is_entered)
        self._update_buttons()

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

    def _mark_places(self, shown: bool) -> None:
        _mark(self._places(), shown)

    def first_look(self) -> Steps:
        """Show a new result where it is largest, in all slice views, and the tab from its beginning.

        The views of another module stay as they are: the look is taken once this one is entered.
        """
        self._to_top.start()
        self._unseen = None if self._is_entered else self._result
        if self._is_entered and self._result is not None and reference_of(self._result) is not None:
            self._ui.segmentEditor.showSourceVolumeInSliceViewers()
            yield
            yield from jump_to_tumor(self._result, reference_of(self._result))

    def _center_3d(self, shown: bool) -> None:
        if shown and self._result is not None:
            center_3d(self._result)

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
        at_once(self._edit_steps(result))

    def _edit_steps(self, result) -> Steps:
        editor = self._ui.segmentEditor
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(_editor_node())
            yield
        with nullcontext() if self._is_entered else with_labels():
            editor.setSegmentationNode(result)
        yield
        chosen = editor.sourceVolumeNode()
        if result is not None and reference_of(result) is not None and not is_image_of(result, chosen):
            editor.setSourceVolumeNode(reference_of(result))

    def edit_again(self) -> None:
        """A scene has been imported: at its end the editor follows its own list, which did not have the result yet."""
        self._edit(self._result)

    def enter(self) -> None:
        self._is_entered = True
        library_folder.show_kept(self._ui.libraryPath)  # the other module may have chosen another one
        self._mark_places(True)
        self._attend_editor()
        if self._result is not None:
            self._edit(self._result)
            if self._unseen is self._result:
                at_once(self.first_look())
        self._unseen = None

    def exit(self) -> None:
        """Another module is shown: no effect stays active, no shortcut is kept, the views are the user's."""
        self._is_entered = False
        library_folder.keep(self._ui.libraryPath.currentPath)
        self._mark_places(False)
        self._attend_editor()
        self._ui.overlayCheck.setChecked(False)
        self.carry.show_after()

    def _attend_editor(self, _index: int = -1) -> None:
        """Effects and shortcuts are on only while the editor is seen: a click must not paint unnoticed.

        Nor must an image that it takes come into views in which something else is looked at.
        """
        editor, tabs = self._ui.segmentEditor, self._ui.tabs
        is_seen = self._is_entered and tabs.indexOf(self._ui.reviewTab) == tabs.currentIndex
        editor.autoShowSourceVolumeNode = is_seen
        if is_seen:
            editor.installKeyboardShortcuts()
        else:
            editor.setActiveEffectByName("")
            editor.uninstallKeyboardShortcuts()

    def close(self) -> None:
        self.dicom.close()
        if self.accepting is not None:
            self.accepting.quit()
            self._accepted("")
        self.reports.stop()
        self._scroller.stop()
        self._to_top.stop()
        self.exit()
        self.show(None)
        self._logic.case_folders.clear()

    def forget_scene(self) -> None:
        """The scene closes: its nodes, the editor's among them, are gone. What is being accepted or reported is not
        lost."""
        said = [self._accepting_without_scene(), self.reports.leave_scene()]
        self.show(None)
        self._unseen = None
        self._logic.case_folders.clear()
        self.forget_case()
        self._say_kept("<br>".join(filter(None, said)))
        self._ui.segmentEditor.setMRMLSegmentEditorNode(None)

    def forget_case(self) -> None:
        """Another patient: the code of the one before must not be given to these images."""
        self._ui.caseEdit.setText("")
        self._ui.acceptedLabel.setText("")

    def _forget_code_of_another_case(self) -> None:
        images = (
            {node.GetID() for key in MODALITIES if (node := input_of(self._result, key))} if self._result else set()
        )
        if images and self._images_of_case and not images & self._images_of_case:
            self.forget_case()
        self._images_of_case = images or self._images_of_case

    # Keeping

    def _update_buttons(self, *_arguments: Any) -> None:
        ui, there = self._ui, self._result is not None
        places, uncertainty = self._places(), self._uncertainty()
        coded = bool(ui.caseEdit.text.strip())
        ui.acceptButton.setEnabled(there and coded and self.accepting is None)
        ui.acceptButton.setToolTip(
            _("There is no result to accept yet.")
            if not there
            else self._accept_tip
            if coded
            else _("Enter a case code first: letters and digits, never a name.")
        )
        for widget in (ui.saveButton, ui.checkedCheck, ui.regionsCheck, ui.show3DButton):
            widget.setEnabled(there)
        self.reports.show(self._result)
        ui.overlayCheck.setEnabled(uncertainty is not None)
        ui.thresholdSlider.setEnabled(uncertainty is not None)
        ui.nextPlaceButton.setEnabled(places is not None)

    def _on_accept(self) -> None:
        question = "" if self._ui.checkedCheck.checked else question_before(self._result)
        if question and not slicer.util.confirmYesNoDisplay(question):
            return
        try:
            self.accept()
        except VoxMMSDError as error:
            self._accepted(_not_accepted_in_words(error))

    def accept(self) -> None:
        """Put the result into the library that is chosen, under the code that is written; Slicer stays usable.

        Raises:
            InputError: no library is chosen, or not by its whole path.
            LibraryError: the code is a name.
            MissingDependencyError: packages are missing, and installing them was declined.
        """
        folder, result = library_folder.named(self._ui.libraryPath.currentPath), self._result
        library_folder.keep(self._ui.libraryPath.currentPath)
        case_id, left_out = self._ui.caseEdit.text.strip(), without_value(result)
        self._ui.acceptedLabel.setText("")
        self.accepting = self._logic.accept(
            result,
            folder,
            case_id,
            wait=False,
            on_done=lambda version: self._accepted(_accepted_in_words(case_id, version, left_out)),
            on_failed=lambda error: self._accepted(_not_accepted_in_words(error, case_id)),
        )
        self._say_kept(_being_accepted(case_id))
        self._ui.acceptBar.setVisible(True)
        self._update_buttons()

    def _accepted(self, said: str) -> None:
        self.accepting = None
        self._ui.acceptBar.setVisible(False)
        self._say_kept(said)
        self._update_buttons()

    def _say_kept(self, text: str) -> None:
        """Below the buttons, where the panel ends: it is scrolled there."""
        self._ui.acceptedLabel.setText(text)
        if text:
            self._scroller.start()

    def _accepting_without_scene(self) -> str:
        """What is to be said of the case that is being accepted while the scene closes; empty where none is."""
        if self.accepting is None:
            return ""
        case_id = self.accepting.case_id
        self.accepting.send_now()
        return _being_accepted(case_id) if self.accepting is not None else str(self._ui.acceptedLabel.text)

    def _save(self) -> None:
        kinds = _("NIfTI (*.nii.gz);;NRRD (*.nrrd)")
        chosen = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save labels"), "labels.nii.gz", kinds)
        if not chosen:
            return
        file = with_ending(Path(chosen))
        question = _("{name} exists already. Replace it?").format(name=file.name)
        # The dialog has asked for the name as it was written only.
        if file != Path(chosen) and file.exists() and not slicer.util.confirmYesNoDisplay(question):
            return
        self._say_kept(self._saved(file))

    def _saved(self, file: Path) -> str:
        try:
            self._logic.save_result(self._result, file)
        except VoxMMSDError as error:
            return _not_accepted_in_words(error)
        return _("Saved as {name}.").format(name=escape(file.name))


def _places_of(result) -> Any:
    return result.GetNodeReference(PLACES_ROLE) if result is not None else None


def _mark(places, shown: bool) -> None:
    if places is not None and places.GetDisplayNode() is not None:
        places.GetDisplayNode().SetVisibility(shown)


def _being_accepted(case_id: str) -> str:
    return _("{case} is being written into the library ...").format(case=escape(case_id))


def _accepted_in_words(case_id: str, version, left_out: list[str]) -> str:
    said = _("Accepted as label {number} of {case}; {changed} voxels differ from the prediction.").format(
        number=version.number, case=escape(case_id), changed=version.changed_voxel_count
    )
    if not left_out:
        return said
    more = _("Left out, because the model has no such tissue: {names}.").format(names=escape(", ".join(left_out)))
    return f"{said} {more}"


def _not_accepted_in_words(error: Exception, case_id: str = "") -> str:
    """``case_id``: where another case may be shown by now."""
    problem, remedy = error_in_words(error)
    if case_id:
        problem = _("{case} was not accepted: {problem}").format(case=case_id, problem=problem)
    return f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else "")


_EDITS = (
    slicer.vtkSegmentation.SegmentModified,  # all that Undo and Redo send
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
)


def _keep_terms(editor) -> None:
    """Let a double click on a segment change its name or color only, not its term, which the label schema gives.

    Slicer's list of terms opens under the mouse while its button is still down: the row that happens to lie there is
    taken instead of the segment's own, and *Select* then drops the tissue's code.
    """
    for table in slicer.util.findChildren(editor, name="SegmentsTableView"):
        table.useTerminologySelectorSettingsKey = ""  # without a key it is off, and the user's setting stays
        table.terminologySelectorOptionVisible = False


def _keep_geometry(editor) -> None:
    """Without the button beside the source volume: it would put the result on another grid than its images'."""
    for button in slicer.util.findChildren(editor, name="SpecifyGeometryButton"):
        button.setVisible(False)


def _editor_node():
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
