"""Starting a run that outlives Slicer: a short child starts it detached, waits for its first sign of life, and ends."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer

from voxmmsd.errors import VoxMMSDError
from voxmmsd.files import write_json_atomic
from voxmmsd.runs.status import STATUS
from VoxMMSDLib.child import Child
from VoxMMSDLib.workplace import clear_what_was_left


class Launch:
    """One start; ``on_end`` of ``start`` gets the core's word of what went wrong, or nothing."""

    def __init__(self, arguments: Sequence[str], folder: Path, options_file: Path | None = None) -> None:
        self.folder = folder
        self._options_file = options_file
        self._on_end: Callable[[str], None] | None = None
        command = [*arguments, "--detach"]
        self._child = Child(command, folder, lambda _events: None, self._ended, ends_with_slicer=False)

    @classmethod
    def of_verb(cls, verb: str, options: Mapping[str, Any], folder: Path) -> Launch:
        """A verb with options, which go through a file: they may be longer than a command line."""
        file = options_file(options)
        return cls([verb, "--config", str(file)], folder, file)

    def start(self, on_end: Callable[[str], None]) -> None:
        """Raises MissingDependencyError: there is no interpreter to start it with."""
        self._on_end = on_end
        try:
            self._child.start()
        except VoxMMSDError:
            self._clear()
            raise

    def forget(self) -> None:
        """Hear no more of it; what it started goes on."""
        self._on_end = None
        was_running = self._child.is_running
        self._child.close()
        if not was_running and not self._is_on_its_way():  # else its options are cleared by a later Slicer
            self._clear()

    def _ended(self, code: int) -> None:
        self._clear()
        error = str(self._child.why(code)) if code else ""
        if self._on_end is not None:
            self._on_end(error)

    def _is_on_its_way(self) -> bool:
        """Whether a run that was started may not have read its options yet."""
        return (self.folder / STATUS).is_file() and not (self.folder / "config.json").is_file()

    def _clear(self) -> None:
        if self._options_file is not None:
            self._options_file.unlink(missing_ok=True)


def options_file(options: Mapping[str, Any]) -> Path:
    """A file for a child that reads options; those of Slicers that were killed are removed, as folders are."""
    clear_what_was_left()
    file = Path(slicer.app.temporaryPath) / f"voxmmsd-{os.getpid()}-{uuid.uuid4().hex}.json"
    write_json_atomic(file, dict(options))
    return file
