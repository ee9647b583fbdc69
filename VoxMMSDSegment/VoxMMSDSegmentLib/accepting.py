"""A corrected case on its way into the training library: written in a thread, compressed and checked in a child."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import label_array
from VoxMMSDLib.workplace import new_workplace
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.result import reference_of
from VoxMMSDSegmentLib.rounds import predicted_labels
from VoxMMSDSegmentLib.saving import writes_for_library

QUIT_SECONDS = 60  # for which Slicer stays until a case is in the library; 5 to 8 are usual


def question_before(result: Any) -> str:
    """What is to be asked before labels that nobody drew become an expert's, whom training trusts; empty else."""
    import numpy as np

    reference = reference_of(result) if result is not None else None
    if reference is None:  # it cannot be accepted at all, and says so
        return ""
    labels = label_array(result, reference)
    if not labels.any():
        return _("No voxel is labeled. Accept this as an expert's label, meaning that there is no tumor?")
    predicted = predicted_labels(result)
    if predicted is not None and np.array_equal(labels, slicer.util.arrayFromVolume(predicted)):
        return _("The labels are exactly as the model predicted them. Accept them unchanged, as an expert's label?")
    return ""


class AcceptJob(CoreJob):
    """One case into the library, which stays whole, with the label or without it.

    One of ``on_done`` (the label's version in the library), ``on_failed`` is called. Once its inputs are files it goes
    on without the scene, and Slicer quits only after it.
    """

    def __init__(
        self,
        result: Any,
        library: Path,
        case_id: str,
        *,
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        folder = new_workplace()
        super().__init__(folder, folder / ".run", on_failed)
        self.case_id = case_id
        self._result, self._library, self._on_done = result, library, on_done

    def _check(self) -> None:
        from voxmmsd.library.folder import check_code

        check_code(self.case_id, "case id")

    def _sending(self) -> Steps:
        options, writes = yield from writes_for_library(self._result, self._folder)
        yield lambda: self._write_each(writes)
        return ["library", "add", str(self._library), "--case", self.case_id, *options]

    def quit(self) -> None:
        """Slicer quits, or the panel goes: what was accepted comes into the library before."""
        if self._is_cleared:
            return
        self.send_now()
        if self.child is not None and self.child.is_running and (code := self.child.wait(QUIT_SECONDS)) != 0:
            why = self.child.why(code).problem if code is not None else f"it took more than {QUIT_SECONDS} s"
            logging.error("%s was NOT accepted before Slicer quit: %s", self.case_id, why)
        self.close()

    def _receive(self) -> None:
        self._show(self._accepted(), self._on_done)

    def _accepted(self) -> Steps:
        from voxmmsd.library import open_library

        yield
        return open_library(self._library).case(self.case_id).accepted
