"""A call of the core on what the scene holds: files written, the child followed, its files handed over, all removed."""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import Canceled, InputError, VoxMMSDError
from VoxMMSDLib.background import Slices, Steps
from VoxMMSDLib.child import Child
from VoxMMSDLib.volumes import Write, write_each
from VoxMMSDLib.workplace import remove, scratch_in
from VoxMMSDSegmentLib.progress import Plan, Progress


class CoreJob(ABC):
    """Runs beside Slicer. ``folder`` holds all that it writes, images of a patient among it, and goes with it.

    ``run``: the run folder of the child. ``on_failed`` gets an exception, ``Canceled`` where that was asked for.
    ``plan``: of how long it takes, for ``on_progress``. ``AT_WORK``: the stage that begins with the child.
    """

    AT_WORK = "starting"

    def __init__(
        self,
        folder: Path,
        run: Path,
        on_failed: Callable[[Exception], None],
        plan: Plan | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        self.child: Child | None = None
        self._folder, self._run = folder, run
        self._on_failed, self._plan, self._on_progress = on_failed, plan, on_progress
        self._is_cleared = False
        self._slices: Slices | None = None
        slicer.app.connect("aboutToQuit()", self.quit)

    def _check(self) -> None:  # noqa: B027 - most calls have nothing to check
        """Raises VoxMMSDError: what is seen to be wrong at once, before anything is written."""

    @abstractmethod
    def _sending(self) -> Steps:
        """Take the inputs out of the scene and write them; returns the arguments of the child."""

    @abstractmethod
    def _receive(self) -> None:
        """The child has ended well. Raises VoxMMSDError where nothing can be made of what it left."""

    def _waiting(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen | None:
        """A process that was started ahead for such a call, at work on it now; None where there is none."""
        return None

    @property
    def log(self) -> str:
        return self.child.log if self.child else ""

    def start(self) -> None:
        """Inputs are taken out of the scene and written, and the child is started, beside Slicer.

        Raises VoxMMSDError: what ``_check`` sees; all is cleared away then.
        """
        try:
            self._check()
        except Exception:
            self.close()
            raise
        self._slices = Slices(self._sending(), self._start_child, self._fail).start()
        self._tell()

    def cancel(self) -> None:
        """Stop at once: nothing of an unfinished call is of use."""
        if self.child is not None and self.child.is_running:
            self.child.cancel()
        else:
            self._fail(Canceled(_("canceled")))

    def close(self) -> None:
        """End without a word to anybody: the panel, the scene or Slicer goes."""
        if self.child is not None:
            self.child.close()
        self._clear()

    def quit(self) -> None:
        """Slicer quits."""
        self.close()

    def send_now(self) -> None:
        """Write the inputs now, while their nodes are still there: the scene closes, or Slicer quits."""
        if self.child is None and self._slices is not None:
            self._slices.finish()
        if self.child is None and not self._is_cleared:  # asked for by a step of its own
            self._fail(InputError(_("its files were not written before the scene was closed"), _("try again")))

    def _start_child(self, arguments: list[str]) -> None:
        scratch = scratch_in(self._folder)
        self.child = Child(arguments, self._run, self._on_events, self._on_end, scratch, self._waiting)
        try:
            self.child.start()
        except VoxMMSDError as error:
            self._fail(error)
            return
        self._begin(self.AT_WORK)

    def _on_events(self, events: list[dict]) -> None:
        if self._plan is not None:
            self._plan.follow(events, time.monotonic())
        if self.child is None or not self.child.is_canceled:
            self._tell()

    def _on_end(self, code: int) -> None:
        assert self.child is not None  # it is the child that has ended
        try:
            if self.child.is_canceled:
                raise Canceled(_("canceled"))
            if code:
                raise self.child.why(code)
            self._receive()
        except (VoxMMSDError, Canceled) as error:
            self._fail(error)

    def _write_each(self, writes: Iterable[Write]) -> bool:
        """In a thread. False where all was cleared away meanwhile."""
        return write_each(writes, lambda: self._is_cleared)

    def _show(self, steps: Steps, on_shown: Callable[[Any], None]) -> None:
        """Put into the scene what the child left; ``on_shown`` gets what the steps return, once all is cleared away."""

        def shown(value: Any) -> None:
            if self._plan is not None:
                self._plan.end(time.monotonic())
            self._clear()
            on_shown(value)

        self._begin("showing")
        self._slices = Slices(steps, shown, self._fail).start()

    def _begin(self, stage: str) -> None:
        if self._plan is not None:
            self._plan.begin(stage, time.monotonic())
        self._tell()

    def _tell(self) -> None:
        if self._plan is not None:
            self._on_progress(self._plan.at(time.monotonic()))

    def _fail(self, error: Exception) -> None:
        self._clear()
        self._on_failed(error)

    def _clear(self) -> None:
        self._is_cleared = True
        if self._slices is not None:
            self._slices.end()  # or its thread would write an image of the patient after all was removed
        slicer.app.disconnect("aboutToQuit()", self.quit)
        remove(self._folder)
