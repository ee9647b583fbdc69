"""A corrected case on its way into the training library: written in a thread, compressed and checked in a child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from VoxMMSDLib.background import Background, Slices
from VoxMMSDLib.child import Child
from VoxMMSDLib.segments import label_array
from VoxMMSDLib.volumes import Write, write_each
from VoxMMSDLib.workplace import new_workplace, remove, scratch_in
from VoxMMSDSegmentLib.result import reference_of
from VoxMMSDSegmentLib.rounds import PREDICTED_LABELS
from VoxMMSDSegmentLib.saving import writes_for_library


def question_before(result: Any) -> str:
    """What is to be asked before labels that nobody drew become an expert's, whom training trusts; empty else."""
    import numpy as np

    reference = reference_of(result) if result is not None else None
    if reference is None:  # it cannot be accepted at all, and says so
        return ""
    labels = label_array(result, reference)
    if not labels.any():
        return _("No voxel is labeled. Accept this as an expert's label: there is no tumor?")
    predicted = result.GetNodeReference(PREDICTED_LABELS)
    if predicted is not None and np.array_equal(labels, slicer.util.arrayFromVolume(predicted)):
        return _("The labels are as the model gave them. Accept them unchanged, as an expert's label?")
    return ""


class AcceptJob:
    """Runs beside Slicer; one of ``on_done`` (the label's version in the library), ``on_failed`` is called."""

    def __init__(
        self,
        result: Any,
        library: Path,
        case_id: str,
        *,
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self.case_id = case_id
        self._result, self._library = result, library
        self._on_done, self._on_failed = on_done, on_failed
        self._folder: Path | None = None
        self._is_cleared = False
        self._slices: Slices | None = None
        self._writing: Background | None = None
        self._child: Child | None = None

    def start(self) -> None:
        """Take images and labels out of the scene; they are written, and the child is started, beside Slicer.

        Raises:
            LibraryError: the case's id is no code.
        """
        from voxmmsd.library.folder import check_code

        check_code(self.case_id, "case id")
        self._folder = new_workplace()
        slicer.app.connect("aboutToQuit()", self.close)
        self._slices = Slices(writes_for_library(self._result, self._folder), self._write_all, self._fail).start()

    def close(self) -> None:
        """End without a word; the library stays whole, with the label or without it."""
        if self._child is not None:
            self._child.close()
        self._clear()

    def _write_all(self, taken: tuple[list[str], list[Write]]) -> None:
        options, writes = taken
        arguments = ["library", "add", str(self._library), "--case", self.case_id, *options]
        self._writing = Background(lambda: self._write(writes), lambda _: self._start_child(arguments), self._fail)
        self._writing.start()

    def _write(self, writes: list[Write]) -> None:
        """In a thread of its own."""
        write_each(writes, lambda: self._is_cleared)

    def _start_child(self, arguments: list[str]) -> None:
        run, scratch = self._folder / ".run", scratch_in(self._folder)
        self._child = Child(arguments, run, lambda _events: None, self._ended, scratch)
        try:
            self._child.start()
        except VoxMMSDError as error:
            self._fail(error)

    def _ended(self, code: int) -> None:
        from voxmmsd.library import open_library

        try:
            if code:
                raise self._child.why(code)
            version = open_library(self._library).case(self.case_id).accepted
        except VoxMMSDError as reason:
            self._fail(reason)
            return
        self._clear()
        self._on_done(version)

    def _fail(self, error: Exception) -> None:
        self._clear()
        self._on_failed(error)

    def _clear(self) -> None:
        self._is_cleared = True
        if self._slices is not None:
            self._slices.stop()
        if self._writing is not None:
            self._writing.end()  # or it would write an image of the patient after all was removed
        slicer.app.disconnect("aboutToQuit()", self.close)
        if self._folder is not None:
            remove(self._folder)
