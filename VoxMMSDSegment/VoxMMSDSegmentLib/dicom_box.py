"""*Export to DICOM...*: the button in *Review & edit*, where to, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from VoxMMSDLib.dependencies import SEGMENTING, ensure
from VoxMMSDLib.pages import Page
from VoxMMSDSegmentLib.folder_choice import choose_folder
from VoxMMSDSegmentLib.result import reference_of
from VoxMMSDSegmentLib.saving import reference_in_scene
from VoxMMSDSegmentLib.to_dicom import PACKAGES, DicomJob, series_files
from VoxMMSDSegmentLib.words import error_in_words


class DicomBox:
    """Follows one result. ``say`` shows a line of rich text below the buttons."""

    def __init__(self, ui: Page, say: Callable[[str], None]) -> None:
        self._ui, self._say = ui, say
        self._result: Any = None
        self.job: DicomJob | None = None
        self._tip = ui.dicomButton.toolTip
        ui.dicomButton.connect("clicked()", self._export)
        self.update()

    def show(self, result: Any) -> None:
        """Follow another result, or none. What is being exported goes on: all that it needs was taken out before."""
        if result is None and self.job is not None:
            self.job.send_now()
        self._result = result
        self.update()

    def close(self) -> None:
        """The panel goes: nothing goes on."""
        if self.job is not None:
            self.job.close()
            self.job = None
            self._say("")

    def update(self) -> None:
        why = self._why_not()
        self._ui.dicomButton.setEnabled(not why and self.job is None)
        self._ui.dicomButton.setToolTip(why or self._tip)

    def _why_not(self) -> str:
        if self._result is None:
            return _("There is no result to export yet.")
        reference = reference_of(self._result)
        if reference is not None and not reference.GetAttribute("DICOM.instanceUIDs"):
            return _(
                "The image that the result was made on was not loaded from DICOM: there is no series to refer to. "
                "Save as... writes NIfTI or NRRD."
            )
        return ""

    def _export(self) -> None:
        try:
            series_files(reference_in_scene(self._result))  # before a folder and packages are asked for
            folder = choose_folder(_("Folder for DICOM SEG and SR"), "dicom")
            if folder is None:
                return
            ensure({**SEGMENTING, **PACKAGES})
            name = self._result.GetName()  # another one may be shown when it has ended
            self.job = DicomJob(
                self._result, folder, on_done=partial(self._done, name), on_failed=partial(self._failed, name)
            )
            self._say(_("DICOM files are being written ..."))
            self.job.start()
            self.update()
        except VoxMMSDError as error:
            self._failed("", error)

    def _done(self, name: str, files: list[Path]) -> None:
        self.job = None
        names = escape(", ".join(file.name for file in files))
        said = _("{result} was written as {names}. For research use only.")
        self._say(said.format(result=escape(name), names=names))
        self.update()

    def _failed(self, name: str, error: Exception) -> None:
        self.job = None
        problem, remedy = error_in_words(error)
        if name:
            problem = _("{result} was not exported: {problem}").format(result=name, problem=problem)
        self._say(f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else ""))
        self.update()
