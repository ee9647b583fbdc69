"""A corrected case on its way into the training library: files written here, compressed and checked in a child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from voxmmsd.errors import VoxMMSDError
from VoxMMSDLib.child import Child
from VoxMMSDLib.workplace import new_workplace, remove, scratch_in
from VoxMMSDSegmentLib.saving import write_for_library


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
        self._child: Child | None = None

    def start(self) -> None:
        """Write the files and start the child.

        Raises:
            LibraryError: the case's id is no code.
            InputError: images are gone, or cannot be written.
        """
        from voxmmsd.library.folder import check_code

        check_code(self.case_id, "case id")
        self._folder = new_workplace()
        slicer.app.connect("aboutToQuit()", self.close)
        try:
            files = write_for_library(self._result, self._folder)
            arguments = ["library", "add", str(self._library), "--case", self.case_id, *files]
            run = self._folder / ".run"
            self._child = Child(arguments, run, lambda _events: None, self._ended, scratch_in(self._folder))
            self._child.start()
        except Exception:
            self._clear()
            raise

    def close(self) -> None:
        """End without a word; the library stays whole, with the label or without it."""
        if self._child is not None:
            self._child.close()
        self._clear()

    def _ended(self, code: int) -> None:
        from voxmmsd.library import open_library

        log, error = self._child.log, self._child.error
        self._clear()
        try:
            if code:
                raise VoxMMSDError(error or log)
            version = open_library(self._library).case(self.case_id).accepted
        except VoxMMSDError as reason:
            self._on_failed(reason)
            return
        self._on_done(version)

    def _clear(self) -> None:
        slicer.app.disconnect("aboutToQuit()", self.close)
        if self._folder is not None:
            remove(self._folder)
