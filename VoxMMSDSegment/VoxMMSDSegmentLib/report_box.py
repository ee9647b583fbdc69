"""*Report...*: the button, where the report goes, and the diameters that it leaves in the scene."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.ids import safe_id
from VoxMMSDLib.background import Slices, Steps
from VoxMMSDLib.pages import Page
from VoxMMSDSegmentLib.case import CASE_ID
from VoxMMSDSegmentLib.diameter_lines import LesionLines, lines_of, show_lines
from VoxMMSDSegmentLib.folder_choice import choose_folder
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.words import error_in_words

_AT_WORK = _("The report is being written ...")


class ReportBox:
    """Follows one result. ``say`` shows a text below the buttons."""

    def __init__(self, ui: Page, logic: VoxMMSDSegmentLogic, say: Callable[[str], None]) -> None:
        self._ui, self._logic, self._say = ui, logic, say
        self._result: Any = None
        self._showing: Slices | None = None
        self.job: Any = None
        ui.reportButton.connect("clicked()", self._choose)
        self.update()

    def show(self, result: Any) -> None:
        """Follow another result, or none."""
        self._result = result
        self.update()

    def leave_scene(self) -> str:
        """The scene closes: a report is finished without it. What is to be said of it; empty where none is at work."""
        if self.job is None:
            return ""
        if self._showing is not None:
            self._showing.finish()
        else:
            self.job.send_now()
        return _AT_WORK if self.job is not None else str(self._ui.acceptedLabel.text)

    def stop(self) -> None:
        """The panel goes."""
        if self._showing is not None:
            self._showing.stop()
        if self.job is not None:
            self.job.close()
            self._end("")

    def update(self) -> None:
        self._ui.reportButton.setEnabled(self._result is not None and self.job is None)

    def _choose(self) -> None:
        folder = choose_folder(_("Folder for the report"), "reports")
        if folder is not None:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the report of the result into ``folder``; Slicer stays usable."""
        result, code = self._result, self._ui.caseEdit.text.strip()
        try:
            self.job = self._logic.report(
                result,
                folder,
                code if code and safe_id(code) == code else CASE_ID,
                wait=False,
                on_done=lambda page, lesions: self._show(self._written(result, page, lesions)),
                on_failed=self._fail,
            )
        except VoxMMSDError as error:
            self._fail(error)
            return
        self._say(_AT_WORK)
        self.update()

    def _show(self, steps: Steps) -> None:
        self._showing = Slices(steps, self._end, self._fail).start()

    def _written(self, result: Any, page: Path, lesions: list[LesionLines]) -> Steps:
        """Show what was written; the text that says so."""
        said = _("Report written as {name}.").format(name=escape(page.name))
        if slicer.mrmlScene.IsNodePresent(result) and not slicer.mrmlScene.IsClosing():
            kept = bool(lines_of(result))
            has_lines = yield from show_lines(result, lesions)
            if has_lines and not slicer.mrmlScene.IsClosing():
                said += " " + (
                    _("The diameters in the scene are as you left them.")
                    if kept
                    else _("Its diameters are lines in the scene that can be moved.")
                )
        yield
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))
        return said

    def _fail(self, error: Exception) -> None:
        self._end(_failed_in_words(error))

    def _end(self, said: str) -> None:
        self.job = self._showing = None
        self._say(said)
        self.update()


def _failed_in_words(error: Exception) -> str:
    problem, remedy = error_in_words(error)
    return f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else "")
