"""End a process when its parent ends, even if the parent was killed and cannot send a request."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from voxmmsd.runs.pids import lives, process_start

ENDS_WITH = "VOXMMSD_ENDS_WITH"  # environment variable: whom a process ends with, as ``name_of_this_process`` says it
LOOK_SECONDS = 1.0


def name_of_this_process() -> str:
    """Its pid and when it started, since pids are used again."""
    return f"{os.getpid()} {process_start(os.getpid()) or ''}".strip()


def exit_with_parent() -> None:
    """From now on look whether the process that the environment names is still there; without one nothing happens.

    The name is taken out of the environment: what this process starts detached is to live on.
    """
    pid, _, started = os.environ.pop(ENDS_WITH, "").partition(" ")
    if pid.isdecimal():
        threading.Thread(target=_wait, args=(int(pid), started or None), name="parent watch", daemon=True).start()


def _wait(pid: int, started: str | None) -> None:
    while lives(pid, started):
        time.sleep(LOOK_SECONDS)
    if sys.platform != "win32" and os.getpgrp() == os.getsid(0):  # of its own: with a stripper that it has called
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
