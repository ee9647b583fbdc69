"""Read run folders: list them, their state, and whether a process is still active."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from voxmmsd.config import FORMER_NAMES
from voxmmsd.errors import RunError
from voxmmsd.files import read_json, while_held
from voxmmsd.home import home
from voxmmsd.runs.states import RunState
from voxmmsd.wording import in_words

HEARTBEAT_SECONDS = 10.0
SILENT_AFTER_SECONDS = 3 * HEARTBEAT_SECONDS
STATUS, CONFIG, CONTROL = "status.json", "config.json", "control.json"


@dataclass(frozen=True)
class RunView:
    """The content of ``status.json`` and ``config.json``, with the current state."""

    folder: Path
    state: RunState
    verb: str
    step: int
    total: int
    seconds_left: float | None
    host: str
    pid: int
    silent_since: datetime | None
    starts: tuple[dict[str, Any], ...]
    stage: str = ""
    error: str = ""

    @property
    def is_over(self) -> bool:
        """No process is active."""
        return not self.state.is_active

    def line(self) -> str:
        """State, step and remaining time as text."""
        text: str = self.state
        if self.state is RunState.RUNNING:
            text += f" on {self.host}" + (f", {self.stage}" if self.stage else "")
        elif self.silent_since:
            text += f" (no sign of life since {self.silent_since:%Y-%m-%d %H:%M:%S})"
        elif self.error:
            text += f": {self.error}"
        text += f"; step {self.step} of {self.total}"
        if self.state is RunState.RUNNING and self.seconds_left is not None:
            text += f", {in_words(self.seconds_left)} left"
        return text


def resolve_run(name: str) -> Path:
    """The folder of a run: a path, or a bare name in ``$VOXMMSD_HOME/runs``."""
    if not name:
        raise RunError("no run folder is given", "name one with --run DIR")
    path = Path(name).expanduser()
    return path if path.parent != Path() or path.is_absolute() or path.is_dir() else home() / "runs" / name


def find_run(name: str) -> Path:
    """Like ``resolve_run``, for an existing run; for a store or a folder of results, the ``.run`` in it."""
    folder = resolve_run(name)
    inner = folder / ".run"
    return inner if not (folder / STATUS).is_file() and inner.is_dir() else folder


def read_status(folder: Path) -> dict[str, Any] | None:
    """``status.json``, or None if there is none yet."""
    return _read_record(folder / STATUS)


def read_config(folder: Path) -> dict[str, Any] | None:
    """``config.json`` (verb, options, directory, versions), or None if there is none."""
    return _read_record(folder / CONFIG)


def view_run(folder: Path) -> RunView:
    """The current state of the run in ``folder``.

    Raises:
        RunError: no such run.
    """
    status = read_status(folder)
    if status is None:
        raise RunError(f"{folder}: holds no run (no status.json)", "`voxmmsd runs list` names the known ones")
    try:
        return _view(folder, status)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:  # OSError: of a time beyond the calendar
        raise RunError(f"{folder / 'status.json'}: is not a run's record ({error})", "name another run") from error


def _view(folder: Path, status: dict[str, Any]) -> RunView:
    state = RunState(status["state"])
    heartbeat = float(status.get("heartbeat") or 0)
    lost = state.is_active and not is_alive(status)
    return RunView(
        folder=folder,
        state=RunState.INTERRUPTED if lost else state,
        verb=str(status.get("verb", "?")),
        step=int(status.get("step") or 0),
        total=int(status.get("total") or 0),
        seconds_left=status.get("seconds_left"),
        host=str(status.get("host", "?")),
        pid=int(status.get("pid") or 0),
        silent_since=datetime.fromtimestamp(heartbeat) if lost else None,
        starts=tuple(status.get("starts", ())),
        stage=str(status.get("stage", "")),
        error=str(status.get("error", "")),
    )


def list_runs(parent: Path | None = None) -> list[RunView]:
    """The runs in ``parent`` (default ``$VOXMMSD_HOME/runs``), most recently active first."""
    parent = home() / "runs" if parent is None else parent
    files = sorted(parent.glob(f"*/{STATUS}"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [_view_or_why_not(file.parent) for file in files]


def _view_or_why_not(folder: Path) -> RunView:
    """One damaged folder must not hide the others."""
    try:
        return view_run(folder)
    except RunError as error:
        return RunView(folder, RunState.UNREADABLE, "?", 0, 0, None, "?", 0, None, (), error=str(error))


def is_alive(status: dict[str, Any]) -> bool:
    """Whether the process of a ``running`` or ``queued`` run is still alive.

    A pid is only valid on its own host; on others the heartbeat decides. On its own host the start time of the process
    must also match, since pids are reused; where it does, the heartbeat is not asked, which a clock that was set or a
    machine that slept would make old.
    """
    if status.get("state") not in (RunState.RUNNING, RunState.QUEUED):
        return False
    is_here, pid = status.get("host") == socket.gethostname(), int(status.get("pid") or 0)
    started = status.get("pid_started")
    if is_here and started is not None and process_start(pid) == started:
        return _pid_lives(pid)
    if time.time() - float(status.get("heartbeat") or 0) >= SILENT_AFTER_SECONDS:
        return False
    return lives(pid, started) if is_here else True


def lives(pid: int, started: str | None) -> bool:
    """Whether a process with this pid exists on this host and started at the given time (None: unknown)."""
    return _pid_lives(pid) and (started is None or process_start(pid) in (started, None))


def is_finished(folder: Path) -> bool:
    status = read_status(folder)
    return status is not None and status.get("state") == RunState.FINISHED


def refuse_other_options(folder: Path, verb: str, options: dict[str, Any], may_differ: Collection[str] = ()) -> None:
    """Raise RunError if ``folder`` is not a run of this verb with these options, but for those that ``may_differ``.

    A run that failed before its first step, mostly because of bad input, may be called again with other options.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file, not a run folder", "name another --run")
    file = folder / CONFIG
    if not file.is_file():
        if folder.is_dir() and not all(_is_of_a_start(item.name) for item in folder.iterdir()):
            raise RunError(f"{folder}: is not empty and no run folder", "name a new folder with --run")
        return
    try:
        old = read_json(file)
        old_verb, stated = old["verb"], dict(old["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is not a run's configuration ({error!r})", "name another --run") from error
    if old_verb != verb:
        raise RunError(f"{folder}: holds a {old_verb} run", f"name another --run for {verb}")
    earlier = {FORMER_NAMES.get(key, key): value for key, value in stated.items()} | stated
    differing = [
        f"{key} {earlier.get(key)!r} -> {value!r}"
        for key, value in options.items()
        if key not in may_differ and earlier.get(key) != value
    ]
    if differing and not _failed_before_its_first_step(folder):
        raise RunError(
            f"{folder}: was started with other options ({'; '.join(differing)})",
            "give the same ones to continue it, or name another --run",
        )


def _failed_before_its_first_step(folder: Path) -> bool:
    """Nothing came of it: the call may be corrected."""
    status = read_status(folder) or {}
    return status.get("state") == RunState.FAILED and not status.get("step") and not (folder / "checkpoints").exists()


LAUNCH = "VOXMMSD_LAUNCH"  # environment variable: by which a detached start knows its process
LEFT_BY_LAUNCH = frozenset({"log.txt", STATUS, CONTROL, ".lock"})  # of a run that never came to its first line


def _is_of_a_start(name: str) -> bool:
    """Left by a launch, just being written by it (it says every few seconds that a process is on its way), or left by a
    kill while the first record was written aside."""
    return name in LEFT_BY_LAUNCH or re.fullmatch(r"\.(config|status)\.\d+\.tmp\.json", name) is not None


def process_start(pid: int) -> str | None:
    """Start time of a process on this host, as text for comparison; None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]  # in clock ticks since the host's start
    except (OSError, IndexError):
        pass
    try:
        import psutil

        return f"{psutil.Process(pid).create_time():.0f}"
    except Exception:  # not installed, or no such process: the pid alone must do
        return None


def _pid_lives(pid: int) -> bool:
    if pid == os.getpid():
        return True
    if sys.platform == "win32":  # os.kill(pid, 0) would end the process there
        try:
            import psutil
        except ImportError:
            return True  # the heartbeat decides

        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_record(file: Path) -> dict[str, Any] | None:
    try:
        record = while_held(lambda: read_json(file))
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        blocking = next(parent for parent in file.parents if parent.exists())
        raise RunError(f"{blocking}: is a file, where a folder is needed", "name another place") from error
    except (ValueError, OSError) as error:
        raise RunError(f"{file}: cannot be read as JSON ({error})", "name a run folder") from error
    if not isinstance(record, dict):
        raise RunError(f"{file}: is not a run's record", "name a run folder")
    return record
