"""Read run folders: list them, their state, and whether a process is still active."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from voxmmsd.config import FORMER_NAMES
from voxmmsd.errors import RunError
from voxmmsd.files import read_json
from voxmmsd.home import home
from voxmmsd.runs.states import RunState
from voxmmsd.runs.status import STATUS, RunStatus, read_run_record, read_status
from voxmmsd.wording import in_words

CONFIG, CONTROL = "config.json", "control.json"


@dataclass(frozen=True, kw_only=True)
class RunView(RunStatus):
    """A run as a reader sees it: its status with the state as it is now, and where it lies.

    ``silent_since``: the last sign of life of a process that is lost.
    """

    folder: Path
    silent_since: datetime | None = None

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


def read_config(folder: Path) -> dict[str, Any] | None:
    """``config.json`` (verb, options, directory, versions), or None if there is none."""
    return read_run_record(folder / CONFIG)


def view_run(folder: Path) -> RunView:
    """The current state of the run in ``folder``.

    Raises:
        RunError: no such run.
    """
    status = read_status(folder)
    if status is None:
        raise RunError(f"{folder}: holds no run (no {STATUS})", "`voxmmsd runs list` names the known ones")
    if not status.state.is_active or status.is_alive():
        return RunView(**vars(status), folder=folder)
    try:
        silent_since = datetime.fromtimestamp(status.heartbeat)
    except (ValueError, OverflowError, OSError) as error:  # beyond the calendar
        raise RunError(f"{folder / STATUS}: is not a run's record ({error})", "name another run") from error
    return RunView(**{**vars(status), "state": RunState.INTERRUPTED}, folder=folder, silent_since=silent_since)


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
        return RunView(folder=folder, state=RunState.UNREADABLE, verb="?", host="?", pid=0, error=str(error))


def is_finished(folder: Path) -> bool:
    status = read_status(folder)
    return status is not None and status.state is RunState.FINISHED


def refuse_other_options(
    folder: Path,
    verb: str,
    options: dict[str, Any],
    may_differ: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Raise RunError if ``folder`` is not a run of this verb with these options, but for those that ``may_differ``.

    ``defaults``: of options, for those that the run does not know, since they have been added after its start.
    A run that failed before its first step, mostly because of bad input, may be called again with other options.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file, not a run folder", "name another --run")
    file = folder / CONFIG
    if not file.is_file():
        if folder.is_dir() and not all(_is_of_a_start(item.name) for item in folder.iterdir()):
            raise RunError(f"{folder}: is not empty and not a run folder", "name a new folder with --run")
        return
    try:
        old = read_json(file)
        old_verb, stated = old["verb"], dict(old["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is not a run's configuration ({error!r})", "name another --run") from error
    if old_verb != verb:
        raise RunError(f"{folder}: holds a {old_verb} run", f"name another --run for {verb}")
    renamed = {FORMER_NAMES.get(key, key): value for key, value in stated.items()}
    earlier = {**(defaults or {}), **renamed, **stated}
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
    status = read_status(folder)
    if status is None or status.state is not RunState.FAILED:
        return False
    return not status.step and not (folder / "checkpoints").exists()


LAUNCH = "VOXMMSD_LAUNCH"  # environment variable: by which a detached start knows its process
LEFT_BY_LAUNCH = frozenset({"log.txt", STATUS, CONTROL, ".lock"})  # of a run that never came to its first line


def _is_of_a_start(name: str) -> bool:
    """Left by a launch, just being written by it (it says every few seconds that a process is on its way), or left by a
    kill while the first record was written aside."""
    return name in LEFT_BY_LAUNCH or re.fullmatch(r"\.(config|status)\.\d+\.tmp\.json", name) is not None
