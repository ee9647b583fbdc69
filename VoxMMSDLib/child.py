"""The core at work in a process of its own: started, followed through its run folder, ended at a wish or with Slicer,
also where Slicer is killed.

The same for every version of Slicer. ``PythonSlicer`` is a launcher that starts the real interpreter, so stopping means
stopping the whole group of processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import (
    ERROR,
    EXIT_WITHHELD,
    REMEDY,
    REMEDY_APART,
    MissingDependencyError,
    ResultWithheldError,
    VoxMMSDError,
)
from voxmmsd.runs.events import AppendedLines, event_of
from voxmmsd.runs.parent_watch import ENDS_WITH, name_of_this_process

ROOT = Path(__file__).resolve().parent.parent
POLL_MS = 150
LINES_KEPT = 2000
LAST_WORDS_SECONDS = 2.0  # until what an ended child has printed is read


def python_slicer() -> str:
    """Slicer's interpreter for child processes.

    Raises:
        MissingDependencyError: it is not on the PATH that Slicer gives itself.
    """
    found = shutil.which("PythonSlicer")
    if not found:
        raise MissingDependencyError("PythonSlicer was not found", "reinstall Slicer")
    return found


def child_environment() -> dict[str, str]:
    """Slicer's start-up environment with the core on the path; the GUI's own environment stays as it is."""
    known = slicer.util.startupEnvironment()
    kept = {name: os.environ[name] for name in ("VOXMMSD_HOME", "VOXMMSD_BUNDLED") if name in os.environ}
    path = os.pathsep.join(filter(None, (str(ROOT), known.get("PYTHONPATH", ""))))
    return {
        **known,
        **kept,
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",  # else a json.py, or another voxmmsd, in Slicer's working directory would be loaded
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
    }


def start_core(arguments: Sequence[str], environment: Mapping[str, str], stdin: int) -> subprocess.Popen:
    """A process of the core's command line, in a group of its own; it ends when Slicer does.

    Raises:
        MissingDependencyError: Slicer's interpreter is missing.
    """
    return subprocess.Popen(
        [python_slicer(), "-m", "voxmmsd", *arguments],
        env={**child_environment(), **environment, ENDS_WITH: name_of_this_process(), REMEDY_APART: "1"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **_own_group(),
    )


class Child:
    """One verb of the core. ``on_tick(events)`` gets the run folder's new events, ``on_end(code)`` the exit code.

    ``environment``: what it has besides ``child_environment()``. ``waiting``: gives a process that waits for these
    arguments and this environment, or None. ``ends_with_slicer``: false where it starts what lives on, which on Windows
    would be ended with it; it ends by itself soon after Slicer, which it watches.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        run_folder: Path,
        on_tick: Callable[[list[dict]], None],
        on_end: Callable[[int], None],
        environment: Mapping[str, str] | None = None,
        waiting: Callable[[list[str], dict[str, str]], subprocess.Popen | None] = lambda arguments, environment: None,
        ends_with_slicer: bool = True,
    ) -> None:
        self._ends_with_slicer = ends_with_slicer
        self._waiting = waiting
        self._environment = dict(environment or {})
        self.run_folder = run_folder
        self.is_canceled = False
        self._arguments, self._on_tick, self._on_end = list(arguments), on_tick, on_end
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._events = AppendedLines(run_folder / "events.jsonl")
        self._process: subprocess.Popen | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._look)

    @property
    def log(self) -> str:
        """What it has printed, the last lines of it."""
        return "\n".join(self._lines)

    @property
    def error(self) -> VoxMMSDError | None:
        """What went wrong and what to do about it, as the core says it; None where it said nothing."""
        problem, remedy = (self._last_said(mark) for mark in (ERROR, REMEDY))
        return VoxMMSDError(problem, remedy or _("the log says more")) if problem else None

    def why(self, code: int) -> VoxMMSDError:
        """Why it ended with ``code``: the core's word of it, else the last line that it printed."""
        if self.error is not None and code == EXIT_WITHHELD:
            return ResultWithheldError(self.error.problem, self.error.remedy)
        if self.error is not None:
            return self.error
        said = next((line for line in reversed(self._lines) if line.strip()), _("it printed nothing"))
        problem = _("it ended without a result (exit code {code}): {said}").format(code=code, said=said)
        if code == -9:
            return VoxMMSDError(problem, _("the computer may have run out of memory: close other programs"))
        return VoxMMSDError(problem, _("try again, and report it if it happens again"))

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = self._waiting(self._arguments, self._environment) or start_core(
            self._arguments, self._environment, subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._drain, args=(self._process,), daemon=True)
        self._reader.start()
        if self._ends_with_slicer:
            slicer.app.connect("aboutToQuit()", self.kill)
        self._timer.start()

    def cancel(self) -> None:
        """End it now; ``on_end`` is called, and finds it ``is_canceled``."""
        if self._process is not None:
            self.is_canceled = True
            self.kill()

    def kill(self) -> None:
        """End it now, with all it started."""
        if self._process is not None and self._process.poll() is None:
            end_group(self._process)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, as soon as it has ended; None where it has not after ``seconds``. Slicer is blocked."""
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End it without telling anybody: the panel goes, or Slicer. One that does not end with it is left."""
        if self._process is not None and self._ends_with_slicer:
            self.kill()
            self._process.wait(timeout=10)
        self._stop_looking()

    def _last_said(self, mark: str) -> str:
        return next((line.removeprefix(mark) for line in reversed(self._lines) if line.startswith(mark)), "")

    def _drain(self, process: subprocess.Popen) -> None:
        """In a thread of its own: it touches nothing but the deque."""
        assert process.stdout is not None  # it was started with pipes
        for line in process.stdout:
            self._lines.append(line.rstrip())
        process.wait()  # one that was left alone is not to stay as a zombie

    def _look(self) -> None:
        assert self._process is not None  # the timer runs while there is one
        code = self._process.poll()  # before its events are read: what it writes last is not missed
        self._on_tick([event for line in self._events.read() if (event := event_of(line)) is not None])
        if code is not None:
            # Its end may be seen before its last line, which says why; what it called may hold the pipe open.
            self._reader.join(LAST_WORDS_SECONDS)
            self._stop_looking()
            self._on_end(code)

    def _stop_looking(self) -> None:
        self._timer.stop()
        if self._process is not None:
            if self._ends_with_slicer:
                slicer.app.disconnect("aboutToQuit()", self.kill)
            self._process = None


def _own_group() -> dict:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def end_group(process: subprocess.Popen) -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended in between
        return
