"""Whether a process of this host is still there; pids are reused, so that its start time must match, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def lives(pid: int, started: str | None) -> bool:
    """Whether a process with this pid exists on this host and started at the given time (None: unknown)."""
    return _pid_lives(pid) and (started is None or process_start(pid) in (started, None))


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
