"""*Carry my edits through the volume*: the button, how far it is, what has changed, and the view before and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import Canceled, VoxMMSDError
from VoxMMSDLib.background import Slices, Steps
from VoxMMSDLib.dependencies import missing
from VoxMMSDLib.pages import Page
from VoxMMSDLib.segments import label_array, schema_of, segments_by_value
from VoxMMSDLib.sight import Scroller
from VoxMMSDLib.standby import STANDBY
from VoxMMSDLib.timers import DOUBLE_CLICK_MS, once_after
from VoxMMSDLib.volumes import ijk_to_world
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.places import list_places
from VoxMMSDSegmentLib.progress import Progress
from VoxMMSDSegmentLib.result import REVIEW, reference_of
from VoxMMSDSegmentLib.rounds import About, base_of, before_of, has_base, round_node, round_number
from VoxMMSDSegmentLib.words import error_in_words

if TYPE_CHECKING:
    import numpy as np

    from VoxMMSDSegmentLib.carrying import CarryJob
    from VoxMMSDSegmentLib.rounds import Base


class CarryBox:
    """Follows one result. ``on_places`` hears that its list of places is another now, ``on_nodes`` of nodes that are no
    inputs."""

    def __init__(
        self, ui: Page, logic: VoxMMSDSegmentLogic, on_places: Callable[[], None], on_nodes: Callable[[], None]
    ) -> None:
        self._ui, self._logic, self._on_places, self._on_nodes = ui, logic, on_places, on_nodes
        self._result: Any = None
        self._looking: Slices | None = None
        self._edits = ""
        self._before: Any = None  # the segmentation that is shown in place of the result
        self._undoable: set[int] = set()  # carries whose states before the editor keeps
        self.job: CarryJob | None = None
        self._cancel_timer = once_after(DOUBLE_CLICK_MS, self._update_button)
        self._scroller = Scroller(ui.carriedLabel)
        ui.carryButton.connect("clicked()", self._carry_or_cancel)
        ui.beforeButton.connect("toggled(bool)", self._show_before)
        self._say("")
        self._show_round()
        self._update_button()

    @property
    def is_looking(self) -> bool:
        return self._looking is not None and self._looking.is_at_work

    def show(self, result: Any) -> None:
        """Follow another result, or none."""
        was_at_work = self.job is not None
        self.forget()
        self._undoable = set()  # the editor keeps the states of one segmentation
        self._result = result
        if result is not None and result.GetDisplayNode() is not None:
            result.GetDisplayNode().SetVisibility2D(True)  # it may have been saved while "Before" was shown
        self._logic.case_folders.sweep()
        self._say(_("Stopped: another result was chosen.") if was_at_work and result is not None else "")
        self.look()

    def stop(self, why: str) -> None:
        """Stop a carry that is at work, and say why."""
        if self.job is not None:
            self.job.close()
            self._end()
            self._say(why)

    def forget(self) -> None:
        """The result, the panel or the scene goes: nothing goes on."""
        self.show_after()
        self._scroller.stop()
        if self._looking is not None:
            self._looking.stop()
        if self.job is not None:
            self.job.close()
            self._end()
        self._edits = ""

    # What was edited

    def edited(self) -> None:
        """The segments are changing: what is seen must be what is painted on."""
        if self.job is None:
            self.show_after()

    def look(self) -> None:
        """See what was edited, and since which carry; beside Slicer."""
        if self._looking is not None:
            self._looking.stop()
        if self.job is not None:  # it looks when it has ended
            return
        self._show_round()
        self._edits = ""
        if self._result is None or self._why_not():
            self._update_button()
            return
        self._looking = Slices(self._steps_to_look(), self._seen, self._not_seen).start()

    def _steps_to_look(self) -> Steps:
        reference = reference_of(self._result)
        base, label = base_of(self._result, reference), label_array(self._result, reference)
        assert base is not None  # or there was nothing to look at
        affine = ijk_to_world(reference)
        if missing():  # the button asks to install them
            return _("your edits") if (label != base.label).any() else ""
        return (yield lambda: edits_in_words(base, label, affine))

    def _seen(self, edits: str) -> None:
        self._edits = edits
        self._update_button()
        if edits and not missing():
            STANDBY.prepare()  # started while the user still paints, which takes longer than the start

    def _not_seen(self, error: Exception) -> None:
        self._update_button()
        raise error

    def _why_not(self) -> str:
        """Why nothing can be carried, whatever was edited; empty where it can."""
        if self._result is None:
            return _("There is no result to correct yet.")
        reference = reference_of(self._result)
        if reference is None or reference.GetImageData() is None:
            return _("The image that the result was made on is no longer in the scene.")
        if not has_base(self._result, reference):
            return _("The labels that the result was edited from are no longer in the scene: segment the images again.")
        return ""

    def _update_button(self) -> None:
        button = self._ui.carryButton
        if self.job is not None:
            button.setText(_("Cancel"))
            button.setEnabled(not self._cancel_timer.isActive())
            button.setToolTip(_("Stop; the segments stay as they are."))
            return
        button.setText(_("Carry my edits &through the volume"))
        button.setEnabled(bool(self._edits))
        button.setToolTip(_on_tip(self._edits) if self._edits else self._why_not() or _OFF_TIP)

    # At work

    def _carry_or_cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()
            return
        self.show_after()
        if self._looking is not None:
            self._looking.stop()
        try:
            self.job = self._logic.carry(
                self._result,
                locked=self._locked(),
                wait=False,
                save_state=self._save_state,
                on_progress=self._show_progress,
                on_done=self._done,
                on_failed=self._failed,
            )
        except VoxMMSDError as error:
            self._failed(error)
            return
        self._cancel_timer.start()
        self._update_button()

    def _locked(self) -> list[str]:
        """Labels that stay as they are: completed in the editor's list, hidden where it spares what is hidden, or
        without a segment."""
        segmentation, display = self._result.GetSegmentation(), self._result.GetDisplayNode()
        editor, by_value = self._ui.segmentEditor.mrmlSegmentEditorNode(), segments_by_value(self._result)
        spares_hidden = editor.GetOverwriteMode() == slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments

        def is_locked(segment_id: str) -> bool:
            logic = slicer.modules.segmentations.logic()
            is_completed = logic.GetSegmentStatus(segmentation.GetSegment(segment_id)) == logic.Completed
            return is_completed or (spares_hidden and not display.GetSegmentVisibility(segment_id))

        labels = [(label.key, by_value.get(label.value, [])) for label in schema_of(self._result).labels]
        return [key for key, ids in labels if not ids or any(map(is_locked, ids))]

    def _save_state(self) -> None:
        """For Undo: the editor keeps the states of the segmentation that it shows."""
        self._ui.segmentEditor.setSegmentationNode(self._result)
        self._ui.segmentEditor.saveStateForUndo()

    def _show_progress(self, progress: Progress) -> None:
        bar = self._ui.carryBar
        bar.setVisible(True)
        bar.setMaximum(1000 if progress.share is not None else 0)
        bar.setValue(round(1000 * (progress.share or 0)))
        self._say(escape(progress.line()))

    def _done(self, number: int) -> None:
        self._undoable.add(number)
        self._on_nodes()
        self._end()
        self._say("")
        self.look()
        self._scroller.start()

    def _failed(self, error: Exception) -> None:
        self._end()
        if isinstance(error, Canceled):
            self._say(_("Canceled; the segments are as they were."))
        else:
            problem, remedy = error_in_words(error)
            self._say(f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else ""))
        self.look()

    def _end(self) -> None:
        self.job = None
        self._cancel_timer.stop()
        self._ui.carryBar.setVisible(False)
        self._update_button()

    def _say(self, text: str) -> None:
        self._ui.carryLabel.setText(text)
        self._ui.carryLabel.setVisible(bool(text))

    # What has changed

    def _show_round(self) -> None:
        """Of the carry that the segments are edited from now: Undo leads back to the one before."""
        ui, result = self._ui, self._result
        number = round_number(result) if result is not None else 0
        node = round_node(result, number) if number else None
        about = About.of(node) if node is not None else None
        ui.carriedLabel.setText(_in_words(about, schema_of(result), number in self._undoable) if about else "")
        ui.carriedLabel.setVisible(about is not None)
        can_compare = result is not None and before_of(result, number) is not None
        ui.shownFrame.setVisible(can_compare)
        if not can_compare:
            self.show_after()
        if result is not None:
            review = json.loads(result.GetAttribute(REVIEW) or "[]")
            places = about.places if about else ()
            # The table would follow each point that comes or goes.
            if list_places(result, review, places, schema_of(result), lambda: ui.placesWidget.setCurrentNode(None)):
                self._on_places()

    def show_after(self) -> None:
        """Show the segments as they are."""
        self._ui.afterButton.setChecked(True)
        self._show_before(False)

    def _show_before(self, shown: bool) -> None:
        """The slices show the segments before the last carry; in 3-D they stay as they are."""
        result = self._result
        before = before_of(result, round_number(result)) if shown and result is not None else None
        if before is self._before:
            return
        for node in (self._before, before):
            if node is not None and slicer.mrmlScene.IsNodePresent(node):
                node.GetDisplayNode().SetVisibility3D(False)
                node.GetDisplayNode().SetVisibility(node is before)
        self._before = before
        if result is not None:
            result.GetDisplayNode().SetVisibility2D(before is None)


def edits_in_words(base: Base, label: np.ndarray, affine_xyz: np.ndarray) -> str:
    """What edits of all rounds count as, by the core's rule; empty where nothing was edited since the last carry.

    May be called in a thread.
    """
    if (label == base.label).all():
        return ""
    from scipy import ndimage

    from voxmmsd.data.volume import Grid
    from voxmmsd.refine.evidence import Plane, find_evidence

    earlier = [Plane(axis, index) for axis, index in (base.refined.planes if base.refined else ())]
    grid = Grid(label.shape, affine_xyz)
    evidence = find_evidence(base.label, [label], grid, origin_zyx=base.origin, earlier=earlier)
    strokes = ndimage.label(evidence.strokes_zyx)[1]
    counts = []
    if evidence.planes:
        counts.append(_counted(len(evidence.planes), _("one corrected slice"), _("{number} corrected slices")))
    if strokes:
        counts.append(_counted(strokes, _("one stroke"), _("{number} strokes")))
    voxels = int(evidence.edited_zyx.sum())
    return _("{what} ({voxels} voxels)").format(what=_(" and ").join(counts), voxels=f"{voxels:,}")


def _counted(number: int, one: str, many: str) -> str:
    return one if number == 1 else many.format(number=number)


def _on_tip(edits: str) -> str:
    return _(
        "Your edits count as {edits}: the rest of the volume follows where the network's features look alike. What you "
        "edited stays as it is, and so does what you left alone in corrected slices. A tissue that is marked as "
        "completed in the list above neither gains nor loses a voxel."
    ).format(edits=edits)


_OFF_TIP = _(
    "Correct the result first, ideally a whole slice where the error is largest: nothing was edited since the model, "
    "or the last carry, gave these labels."
)


def _in_words(about: About, schema: Any, can_undo: bool) -> str:
    """Volumes before and after, and what the core found."""
    names = {label.key: label.name for label in schema.labels}
    rows = [
        f"<tr><td>{escape(names[key])}</td><td align='right'>&nbsp; {before:.2f}</td><td> → {after:.2f} ml</td></tr>"
        for key, (before, after) in about.ml.items()
        if key in names and round(before, 2) != round(after, 2)
    ]
    voxels = about.refined.carried_voxels
    text = _("Carried to {voxels} voxels; Undo reverts it.") if can_undo else _("Carried to {voxels} voxels.")
    said = [text.format(voxels=f"{voxels:,}")]
    if not voxels:
        said = [_("Nothing else in this volume looks like what you edited: no other voxel was changed.")]
    if about.is_doubtful:
        text = _(
            "Only {share} of your edits match the image features; the images may not show what you corrected. Review "
            "the result slice by slice."
        )
        said.append(text.format(share=f"{about.refined.agreement:.0%}"))
    if held := [names[key] for key in about.refined.locked if key in names]:
        said.append(_("Left unchanged: {names}.").format(names=", ".join(held)))
    return "<br>".join(map(escape, said)) + (f"<table>{''.join(rows)}</table>" if rows else "")
