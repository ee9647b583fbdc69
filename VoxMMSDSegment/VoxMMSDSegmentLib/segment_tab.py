"""The tab in which a case is chosen and segmented."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.config import DEVICES, PRECISIONS
from voxmmsd.errors import Canceled, ResultWithheldError, VoxMMSDError
from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.models import registry
from VoxMMSDLib.background import Background, Slices, Steps
from VoxMMSDLib.dependencies import ensure, missing
from VoxMMSDLib.pages import Page
from VoxMMSDLib.sight import Scroller
from VoxMMSDLib.slice_views import with_labels
from VoxMMSDLib.timers import DOUBLE_CLICK_MS, once_after
from VoxMMSDSegmentLib.case import SlicerCase
from VoxMMSDSegmentLib.computer import ComputerOptions
from VoxMMSDSegmentLib.findings import FindingsList, InputChecks, Suggestion
from VoxMMSDSegmentLib.fixes import Fixes
from VoxMMSDSegmentLib.hd_bet_button import HdBetButton
from VoxMMSDSegmentLib.job import Options, SegmentJob
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.models_box import ModelsBox
from VoxMMSDSegmentLib.progress import Progress
from VoxMMSDSegmentLib.result import last_result_of, replace_result
from VoxMMSDSegmentLib.searching import Searching
from VoxMMSDSegmentLib.words import error_in_words

if TYPE_CHECKING:
    from voxmmsd.records.findings import Finding

LOOK_AFTER_MS = 500
AUTOMATIC = ""


class SegmentTab:
    """``show_result`` shows a new segmentation node, in steps; ``on_replacing`` hears of a result that is replaced."""

    def __init__(
        self,
        ui: Page,
        logic: VoxMMSDSegmentLogic,
        show_result: Callable[[Any], Steps],
        on_replacing: Callable[[Any], None],
    ) -> None:
        self._ui, self._logic, self._show_result, self._on_replacing = ui, logic, show_result, on_replacing
        self._showing: Slices | None = None
        self._volumes_at_start: dict[str, Any] = {}
        self._parameters: Any = None
        self.job: SegmentJob | None = None
        self.findings = FindingsList(ui.findingsFrame)
        self.models = ModelsBox(ui, self._model_chosen)
        self._checks = InputChecks(self._show_findings)
        self._computer = ComputerOptions(ui)
        self.hd_bet = HdBetButton(ui, self._computer, self._say, self._show_error)
        self._searching = Searching(ui.findButton, self._say, self._search_failed)
        self._look_timer = once_after(LOOK_AFTER_MS, self.look)
        self._cancel_timer = once_after(DOUBLE_CLICK_MS, self._update_apply)
        self._scroller = Scroller(ui.copyDetailsButton)
        self._connect()

    def _connect(self) -> None:
        ui = self._ui
        ui.findButton.connect("clicked()", self._find)
        ui.applyButton.connect("clicked()", self._apply_or_cancel)
        ui.anywayButton.connect("clicked()", self._show_anyway)
        ui.copyDetailsButton.connect("clicked()", self._copy_details)
        ui.referenceCombo.connect("activated(int)", self._reference_chosen)
        ui.stripCombo.connect("currentIndexChanged(int)", self.on_parameters_modified)

    # What is chosen

    def show(self, parameters) -> None:
        """Follow another parameter node, or none while a scene closes."""
        self._parameters = parameters
        if parameters is not None and self.models.is_read:
            self.models.refresh(parameters.model)
        self.on_parameters_modified()

    def read_models(self) -> Steps:
        """For the first time: each file of each model is hashed, in a thread."""
        if not self.models.is_read:
            yield registry.list_models
        self.models.refresh(self._parameters.model if self._parameters is not None else "")
        self.on_parameters_modified()

    def enter(self) -> None:
        """The module is shown again: models may have come meanwhile, and another one into use."""
        _warm_up()
        if self.models.is_read:
            self.models.refresh(self._parameters.model)
        self._update_apply()

    def on_parameters_modified(self, *_: Any) -> None:
        """Something was chosen: bring the rest in line, and look at the images in a moment."""
        if self._parameters is None:
            self._ui.applyButton.setEnabled(False)
            return
        self._ui.anywayButton.setVisible(False)  # what was withheld is of other images
        self._fill_reference_combo()
        self._ui.alignCheck.setEnabled(not self._parameters.fromScanner)  # it is part of that
        if self.models.is_read:
            self.models.show_card(list(self.volumes()))
        self._update_apply()
        self.findings.doubt()
        self._look_timer.start()

    def volumes(self) -> dict[str, Any]:
        """Modality -> volume node, those that are chosen."""
        chosen = {key: getattr(self._parameters, key) for key in MODALITIES}
        return {key: node for key, node in chosen.items() if node is not None}

    def _fill_reference_combo(self) -> None:
        combo, wanted = self._ui.referenceCombo, self._parameters.reference
        items = [(_("automatic (T1c, else the finest)"), AUTOMATIC)]
        items += [(MODALITY_NAMES[key], key) for key in self.volumes()]
        combo.clear()
        for text, key in items:
            combo.addItem(text, key)
        combo.setCurrentIndex(max(0, combo.findData(wanted)))

    def _reference_chosen(self, _index: int) -> None:
        self._parameters.reference = self._ui.referenceCombo.currentData or AUTOMATIC

    def _model_chosen(self, model_id: str) -> None:
        if self._parameters is not None:
            self._parameters.model = model_id
        self._update_apply()

    @property
    def is_searching(self) -> bool:
        return self._searching.is_at_work

    def _find(self) -> None:
        self._show_error("", "")
        try:
            self._searching.start(self._parameters, next(iter(self.volumes().values()), None))
        except VoxMMSDError as error:
            self._show_error(*error_in_words(error))

    def _search_failed(self, error: Exception) -> None:
        self._show_error(*error_in_words(error))

    # Findings

    def look(self) -> None:
        """Look at what is chosen, beside Slicer; a timer calls it when the choice has come to rest."""
        if self._parameters is None:
            return
        volumes = self.volumes()
        if volumes and missing():
            self._show_unchecked()
            return
        reference = SlicerCase(volumes, reference=self._reference()).reference_key if volumes else ""
        to_strip = bool(self._ui.stripCombo.currentData) or self._parameters.fromScanner
        self._checks.look(volumes, self._parameters.brainMask, to_strip, reference)

    def look_now(self) -> None:
        """As ``look``, and wait for what it finds."""
        self._look_timer.stop()
        self.look()
        self._checks.wait()

    def _show_findings(self, found: tuple[Finding, ...]) -> None:
        if self._parameters is None:
            return
        fixes = Fixes(self._parameters)
        fixed = frozenset(n for n, finding in enumerate(found) if fixes.is_chosen(finding))
        ways = {n: fixes.suggestions(finding, found[:n]) for n, finding in enumerate(found) if n not in fixed}
        self.findings.show(found, ways, fixed)

    def _show_unchecked(self) -> None:
        """The packages that a look needs are not there yet."""
        from voxmmsd.records.findings import NOTE, Finding

        text = _("the images are not checked yet: Python packages are missing")
        finding = Finding(NOTE, "packages", text, _("install them"))
        install = Suggestion(_("Install..."), _("Download the packages into Slicer, after you confirm."), self._install)
        self.findings.show((finding,), {0: [install]}, frozenset())

    def _install(self) -> None:
        try:
            ensure()
        except VoxMMSDError as error:
            self._show_error(*error_in_words(error))
            return
        self._computer.fill_strippers()
        self.hd_bet.update()
        self.look()

    def _align(self) -> bool:
        return self._parameters.align and len(self.volumes()) > 1

    def _reference(self) -> str:
        """The modality whose grid the result is to have, where it is among those chosen."""
        return self._parameters.reference if self._parameters.reference in self.volumes() else AUTOMATIC

    # Running

    def _update_apply(self) -> None:
        button = self._ui.applyButton
        if self.job is not None:
            button.setText(_("C&ancel"))
            button.setEnabled(not self._cancel_timer.isActive() and self._showing is None)
            button.setToolTip(_("Stop; nothing is left behind."))
            return
        button.setText(_("&Apply"))
        reason = self._why_not()
        button.setEnabled(not reason)
        button.setToolTip(reason or _("Segment these images; Slicer stays usable meanwhile."))

    def _why_not(self) -> str:
        if self._parameters is None or not self.volumes():
            return _("Choose at least one image.")
        if not self.models.is_read:
            return _("The models are being read.")
        if self.models.chosen is None:
            return _("Import or train a model first.")
        return ""

    def _apply_or_cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()
            return
        self._begin()

    def _show_anyway(self) -> None:
        """The result was withheld, and is wanted all the same: its record and Review say what speaks against it."""
        self._begin(force=True)

    def _begin(self, force: bool = False) -> None:
        self._show_error("", "")
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started."), show=False):
            try:
                self.job = self._start(force)
            except Exception as error:
                self._failed(error)
                return
        self._cancel_timer.start()
        self._update_apply()

    def _start(self, force: bool) -> SegmentJob:
        parameters = self._parameters
        self._volumes_at_start = self.volumes()
        return self._logic.segment(
            self._volumes_at_start,
            self.models.chosen_id,
            brain_mask=parameters.brainMask,
            reference=self._reference(),
            operated=parameters.operated,
            align=self._align(),
            from_scanner=parameters.fromScanner,
            options=replace(self.options(), force=force),
            wait=False,
            on_progress=self._show_progress,
            on_done=self._done,
            on_failed=self._failed,
        )

    def options(self) -> Options:
        ui, parameters = self._ui, self._parameters
        strip = "" if parameters.brainMask is not None else ui.stripCombo.currentData or ""
        return Options(
            device=ui.deviceCombo.currentData or DEVICES[0],
            memory=ui.memoryEdit.text.strip(),
            precision=ui.precisionCombo.currentData or PRECISIONS[0],
            brain_mask=strip,
            smallest=tuple(ui.smallestEdit.text.split()),
            n4=parameters.n4,
            tta=ui.ttaCheck.checked,
            uncertainty=ui.uncertaintyCheck.checked,
            # The training library is given the case as it was segmented.
            intermediates=bool(strip)
            or self._align()
            or parameters.fromScanner
            or parameters.n4
            or parameters.intermediates,
        )

    def _save_state(self, result) -> None:
        """For Undo: the editor keeps the states of the segmentation that it shows."""
        with with_labels():
            self._ui.segmentEditor.setSegmentationNode(result)
        self._ui.segmentEditor.saveStateForUndo()

    def _show_progress(self, progress: Progress) -> None:
        bar = self._ui.progressBar
        bar.setVisible(True)
        bar.setMaximum(1000 if progress.share is not None else 0)
        bar.setValue(round(1000 * (progress.share or 0)))
        self._say(progress.line())
        if self.job is not None:
            self._ui.logText.setPlainText(self.job.log)

    def _done(self, node) -> None:
        if self._ui.replaceCheck.checked:
            node = self._replaced(node)
        said = _("Done: {name}").format(name=node.GetName())
        self._showing = Slices(self._show_result(node), lambda _: self._end(said), self._failed).start()
        self._update_apply()

    def _replaced(self, node) -> Any:
        """The last result of the same images, made what ``node`` is, where the user agrees; else ``node``."""
        last = last_result_of(self._volumes_at_start, but=node)
        question = _("Replace {name}? Undo in the segment editor restores its segments.")
        if last is None or not slicer.util.confirmYesNoDisplay(question.format(name=last.GetName())):
            return node
        self._on_replacing(last)
        self._save_state(last)
        replace_result(last, node)
        return last

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Canceled):
            self._end(_("Canceled."))
            return
        self._end("")
        self._show_error(*error_in_words(error))
        self._ui.anywayButton.setVisible(isinstance(error, ResultWithheldError))

    def _end(self, said: str) -> None:
        if self.job is not None:
            self._ui.logText.setPlainText(self.job.log)
        self.job = self._showing = None
        self._cancel_timer.stop()
        self._ui.progressBar.setVisible(False)
        self._say(said)
        self._update_apply()

    def close(self) -> None:
        """The panel, the scene or Slicer goes: nothing goes on and nothing is left."""
        self._look_timer.stop()
        self._scroller.stop()
        self._checks.forget()
        self._searching.forget()
        if self._showing is not None:
            self._showing.stop()
            self._end("")
        elif self.job is not None:
            self.job.close()
            self._end("")

    # Words

    def _say(self, text: str) -> None:
        self._ui.stageLabel.setText(text)

    def _show_error(self, problem: str, remedy: str) -> None:
        text = f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else "")
        self._ui.errorLabel.setText(text if problem else "")
        self._ui.errorLabel.setVisible(bool(problem))
        self._ui.anywayButton.setVisible(False)
        self._ui.copyDetailsButton.setVisible(bool(problem))
        if problem:
            self._scroller.start()

    def _copy_details(self) -> None:
        slicer.app.clipboard().setText(f"{self._ui.errorLabel.text}\n\n{self._ui.logText.plainText}")


def _warm_up() -> None:
    """Import beside Slicer what the first look, or Accept, would wait for: SciPy alone takes a second."""
    if "voxmmsd.preflight.check" not in sys.modules and not missing():
        Background(_import_checks, lambda _: None, lambda _: None).start()


def _import_checks() -> None:
    import voxmmsd.data.finding.dicom_cases
    import voxmmsd.library.folder
    import voxmmsd.preflight.check  # noqa: F401
