"""``python end_trainings.py FOLDER``: once its standard input ends, end the trainings that run below the folder.

Trainings outlive Slicer, which is what users want of them. One that a test has started must not outlive the test, also
where Slicer crashes or is killed: the test holds the other end of the standard input.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from voxmmsd.runs.pids import lives
from voxmmsd.runs.status import read_status

LOOK_SECONDS = 0.5


def main(folder: Path) -> None:
    is_over, known = threading.Event(), {}
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    while True:
        was_over = is_over.wait(LOOK_SECONDS)
        # Noted while it lasts: whoever kills a test may remove its folder at once.
        for file in folder.rglob("status.json"):
            if (status := read_status(file.parent)) and status.pid:
                known[status.pid] = status.pid_started
        if was_over:
            break
    for pid, started in known.items():
        if lives(pid, started):
            _end(pid)


def _end(pid: int) -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
    elif os.getpgid(pid) == pid:  # of its own group: with its workers
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
