"""One process at a time on a run folder: a lock that the operating system lifts when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO

from voxmmsd.errors import RunError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Claim:
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
            raise RunError(f"{folder}: {holder} is working on this run; wait, or `voxmmsd runs cancel` it") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # what ``try_lock`` fails with where another one has the lock


def try_lock(file: IO[str]) -> None:
    """Lock an open file until it is closed or the process ends; OSError where that cannot be."""
    if sys.platform == "win32":
        # A byte far behind the text: a locked one cannot be read by others there.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
