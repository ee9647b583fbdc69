"""The status of a run, ``status.json``: written by the job, read by everything else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxmmsd.errors import RunError
from voxmmsd.files import read_json, retry_while_locked, write_json_atomic
from voxmmsd.runs.pids import lives, process_start
from voxmmsd.runs.states import RunState

HEARTBEAT_SECONDS = 10.0
SILENT_AFTER_SECONDS = 3 * HEARTBEAT_SECONDS
STATUS = "status.json"


@dataclass(frozen=True)
class Start:
    """One start of a run. ``time``: ISO, UTC. ``launch``: the token of a detached start, else empty."""

    time: str
    host: str
    pid: int
    launch: str = ""

    def record(self) -> dict[str, Any]:
        """As it is written: an empty ``launch`` is left out."""
        return {name: value for name, value in asdict(self).items() if name != "launch" or value}


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The content of ``status.json``; ``docs/file-formats.md`` explains the keys.

    ``pid_started``: start time of the process, None if unknown. ``heartbeat``: seconds since 1970. ``starts``: oldest
    first. ``error``: the reason of a failure, else empty.
    """

    verb: str
    state: RunState
    host: str
    pid: int
    pid_started: str | None = None
    stage: str = ""
    starts: tuple[Start, ...] = ()
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    heartbeat: float = 0.0
    error: str = ""

    def record(self) -> dict[str, Any]:
        """As it is written: an empty ``error`` is left out."""
        record = {**asdict(self), "starts": [start.record() for start in self.starts]}
        return {name: value for name, value in record.items() if name != "error" or value}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RunStatus:
        """What ``record`` gave, or an earlier version wrote; what it lacks is empty.

        Raises:
            KeyError, TypeError, ValueError, OverflowError, AttributeError: it is not a status.
        """
        left, started = record.get("seconds_left"), record.get("pid_started")
        return cls(
            verb=str(record.get("verb", "?")),
            state=RunState(record["state"]),
            host=str(record.get("host", "?")),
            pid=int(record.get("pid") or 0),
            pid_started=None if started is None else str(started),
            stage=str(record.get("stage", "")),
            starts=tuple(
                Start(str(start["time"]), str(start["host"]), int(start["pid"]), str(start.get("launch", "")))
                for start in record.get("starts", ())
            ),
            step=int(record.get("step") or 0),
            total=int(record.get("total") or 0),
            seconds_left=None if left is None else float(left),
            heartbeat=float(record.get("heartbeat") or 0),
            error=str(record.get("error", "")),
        )

    @property
    def is_of_this_process(self) -> bool:
        return self.is_of_this_host and self.pid == os.getpid()

    @property
    def is_of_this_host(self) -> bool:
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether the process of a ``running`` or ``queued`` run is still alive.

        A pid is only valid on its own host; on others the heartbeat decides. On its own host the start time of the
        process must also match, since pids are reused; where it does, the heartbeat is not asked, which a clock that
        was set or a machine that slept would make old.
        """
        if not self.state.is_active:
            return False
        if self.is_of_this_host and self.pid_started is not None and process_start(self.pid) == self.pid_started:
            return lives(self.pid, None)
        if time.time() - self.heartbeat >= SILENT_AFTER_SECONDS:
            return False
        return not self.is_of_this_host or lives(self.pid, self.pid_started)


def queued_status(verb: str, pid: int) -> RunStatus:
    """Of a run whose process ``pid`` of this host is on its way."""
    return RunStatus(
        verb=verb,
        state=RunState.QUEUED,
        host=socket.gethostname(),
        pid=pid,
        pid_started=process_start(pid),
        heartbeat=round(time.time(), 1),
    )


def write_status(folder: Path, status: RunStatus) -> None:
    write_json_atomic(folder / STATUS, status.record())


def read_status(folder: Path) -> RunStatus | None:
    """The status of the run in ``folder``, or None if there is none yet.

    Raises:
        RunError: it cannot be read, or is not a status.
    """
    record = read_run_record(folder / STATUS)
    if record is None:
        return None
    try:
        return RunStatus.from_record(record)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise RunError(f"{folder / STATUS}: is not a run's record ({error})", "name another run") from error


def read_run_record(file: Path) -> dict[str, Any] | None:
    """A JSON object in a run folder, or None if there is none."""
    try:
        record = retry_while_locked(lambda: read_json(file))
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
