"""A process of the core that is started ahead: the next Apply or carry hands it its arguments and waits for no start.

It is not used after anything changed that it has loaded, or was started with: the core, Slicer's packages, the
environment. It has no model loaded. It ends with Slicer, after some minutes, or with the verb that it was given.
"""

from __future__ import annotations

import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

from voxmmsd.errors import VoxMMSDError
from voxmmsd.standby import STANDBY as WAITS
from voxmmsd.standby import WAIT_SECONDS, request_line
from VoxMMSDLib.child import ROOT, child_environment, end_group, start_core

LAST_SECONDS = 30.0  # before it ends by itself, it is not used any more


class Standby:
    """At most one process that waits."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._made_for: Any = None
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def prepare(self) -> None:
        """Start one, unless one waits that can be used. Where none can be started, the next call says why."""
        if self._is_usable():
            return
        self.close()
        self._made_for, self._started = _made_for(), time.monotonic()
        try:
            self._process = start_core([], {WAITS: "1"}, subprocess.PIPE)
        except (VoxMMSDError, OSError):
            self._process = None

    def take(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen | None:
        """The process that waited, at work on these arguments; None where none did that can be used."""
        if not self._is_usable():
            self.close()
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None  # it was started with pipes
        try:
            process.stdin.write(request_line(arguments, environment))
            process.stdin.close()
        except OSError:  # it has ended in this moment
            end_group(process)
            return None
        return process

    def close(self) -> None:
        """End the process that waits."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)
            process.wait(timeout=10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _is_usable(self) -> bool:
        return (
            self._process is not None
            and self._process.poll() is None
            and time.monotonic() - self._started < WAIT_SECONDS - LAST_SECONDS
            and self._made_for == _made_for()
        )


def _made_for() -> tuple[Any, ...]:
    """What must be the same when a process is used as when it was started."""
    files = [(file.stat().st_mtime_ns, str(file)) for file in sorted((ROOT / "voxmmsd").rglob("*.py"))]
    packages = [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    return child_environment(), files, [folder.stat().st_mtime_ns for folder in packages if folder.is_dir()]


STANDBY = Standby()
