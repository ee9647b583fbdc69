"""The lock of a run folder, which the operating system releases when its holder dies."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

from voxmmsd.errors import RunError
from voxmmsd.files import HELD, try_lock
from voxmmsd.runs.states import RunState
from voxmmsd.runs.status import HEARTBEAT_SECONDS, SILENT_AFTER_SECONDS, RunStatus, read_status


class RunLock:
    """Holds ``folder/.lock`` until ``release`` or the end of the process.

    Where the file system knows no locks (some network shares), the heartbeat in ``status.json`` alone tells.

    Raises:
        RunError: another process, or another job of this one, holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] | None = (folder / ".lock").open("a+", encoding="utf-8")
        try:
            try_lock(self._file)
        except OSError as error:
            if error.errno not in HELD:
                return  # no locks here
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise RunError(f"{folder}: {holder} is working on this run", "wait, or `voxmmsd runs cancel` it") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def refuse_if_active(folder: Path, status: RunStatus | None) -> None:
    """Go on where no process lives behind ``status``.

    Of one on another host only the next heartbeat tells. It is waited for, since a cluster starts a job again at once
    when a host is lost: to refuse it then would be the end of the job.

    Raises:
        RunError: one lives.
    """
    if status is None or status.state is not RunState.RUNNING or not status.is_alive() or status.is_of_this_process:
        return
    if status.is_of_this_host or _beats_again(folder, status):
        raise RunError(
            f"{folder}: process {status.pid} on {status.host} is working on this run",
            "wait, or `voxmmsd runs cancel` it",
        )


def _beats_again(folder: Path, status: RunStatus) -> bool:
    end = time.monotonic() + SILENT_AFTER_SECONDS
    while time.monotonic() < end:
        latest = read_status(folder)
        if latest is None or latest.heartbeat != status.heartbeat:
            return latest is not None and latest.state is RunState.RUNNING
        time.sleep(HEARTBEAT_SECONDS / 20)
    return False
