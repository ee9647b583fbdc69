"""The run folder: the one source of truth of a long job, written by the job and read by everybody else.

Standard library only, since a panel reads it. See DESIGN for the files; here is their writer.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import voxmmsd
from voxmmsd.errors import Cancelled, RunError
from voxmmsd.events import EventWriter
from voxmmsd.files import write_json_atomic
from voxmmsd.home import home

HEARTBEAT_SECONDS = 10.0
SILENT_AFTER_SECONDS = 3 * HEARTBEAT_SECONDS
_HOW_NOT_WHAT = frozenset({"run", "threads", "workers"})  # options that do not change what comes out
STATES = ("queued", "running", "paused", "finished", "failed", "cancelled")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def resolve_run(name: str) -> Path:
    """A run's folder: a path as it is, a bare name under ``$VOXMMSD_HOME/runs``."""
    if not name:
        raise RunError("no run folder given: say --run DIR")
    path = Path(name).expanduser()
    return path if path.parent != Path() or path.is_absolute() or path.is_dir() else home() / "runs" / name


def read_status(folder: Path) -> dict[str, Any] | None:
    """``status.json``, or None where there is none yet."""
    try:
        return json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{folder / 'status.json'}: is not JSON ({error}); is this a run folder?") from error


def is_alive(status: dict[str, Any]) -> bool:
    """Whether the process behind a ``running`` status still gives signs of life.

    A pid means something on its own host only; elsewhere the heartbeat decides.
    """
    if status.get("state") != "running":
        return False
    if time.time() - float(status.get("heartbeat", 0)) < SILENT_AFTER_SECONDS:
        return status.get("host") != socket.gethostname() or _pid_lives(int(status.get("pid", 0)))
    return False


def _pid_lives(pid: int) -> bool:
    if pid == os.getpid():
        return True
    if sys.platform == "win32":  # os.kill(pid, 0) would end the process there
        import psutil

        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Run:
    """The writing side: made by ``open_run``, used by one process at a time."""

    def __init__(self, folder: Path, verb: str, total: int, starts: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.total = total
        self.step = 0
        self._status: dict[str, Any] = {
            "verb": verb,
            "state": "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "starts": [*starts, {"time": now(), "host": socket.gethostname(), "pid": os.getpid()}],
        }
        self._speed = _Speed()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked: str | None = None
        self.events = EventWriter(folder / "events.jsonl")
        self._log = (folder / "log.txt").open("a", encoding="utf-8")
        self._write_status()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    def say(self, text: str) -> None:
        """A line for people: on stderr and in ``log.txt``."""
        print(text, file=sys.stderr, flush=True)
        self.note(text)

    def note(self, text: str) -> None:
        """A line in ``log.txt`` alone."""
        self._log.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')}  {text}\n")
        self._log.flush()

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")
        self.events.write("warning", step=self.step, text=text)

    def metric(self, step: int, name: str, value: float) -> None:
        self.events.write("metric", step=step, name=name, value=float(value))

    def progress(self, step: int, stage: str = "") -> None:
        """The job has done ``step`` of ``total``; cheap enough for every step."""
        self._speed.mark(step)
        self.step = step
        self._status["stage"] = stage

    @property
    def seconds_left(self) -> float | None:
        return self._speed.seconds_left(self.total - self.step)

    def asked(self) -> str | None:
        """``pause`` or ``cancel`` when a signal or ``control.json`` asked for it."""
        if self._asked is None and (control := self._read_control()) in ("pause", "cancel"):
            self._asked = control
        return self._asked

    def ask(self, request: str) -> None:
        self._asked = request

    def end(self, state: str, **fields: Any) -> None:
        """Write the last status and stop the heartbeat."""
        self._stop.set()
        self._heart.join()
        self._status.update(state=state, **fields)
        self._write_status()
        self.events.close()
        self._log.close()

    def _read_control(self) -> str | None:
        try:
            return json.loads((self.folder / "control.json").read_text(encoding="utf-8")).get("request")
        except (OSError, ValueError, AttributeError):
            return None  # none there, or just being written: the next step looks again

    def _write_status(self) -> None:
        with self._lock:
            left = self.seconds_left
            self._status.update(
                step=self.step,
                total=self.total,
                seconds_left=None if left is None else round(left, 1),
                heartbeat=round(time.time(), 1),
            )
            write_json_atomic(self.folder / "status.json", self._status)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self._write_status()


class _Speed:
    """Seconds per step over a recent stretch, so that a slow start does not spoil the estimate."""

    def __init__(self, stretch_seconds: float = 60.0) -> None:
        self._stretch = stretch_seconds
        self._marks: list[tuple[float, int]] = []

    def mark(self, step: int) -> None:
        at = time.monotonic()
        self._marks.append((at, step))
        while len(self._marks) > 2 and at - self._marks[1][0] > self._stretch:
            self._marks.pop(0)

    def seconds_left(self, steps: int) -> float | None:
        if len(self._marks) < 2 or self._marks[-1][1] <= self._marks[0][1]:
            return None
        (t0, s0), (t1, s1) = self._marks[0], self._marks[-1]
        return max(0, steps) * (t1 - t0) / (s1 - s0)


@contextmanager
def open_run(folder: Path, verb: str, config: dict[str, Any], total: int, continues: bool = True) -> Iterator[Run]:
    """Start or continue a job in ``folder``; on the way out its status says how it ended.

    ``continues`` is False for verbs that check their own results and may be called again with other options.
    SIGINT and SIGTERM become a request that the job sees at its next step (``Run.asked``).

    Raises:
        RunError: another process works in the folder, or it holds another job or other options.
    """
    if continues:
        refuse_other_options(folder, verb, config)
    status = read_status(folder)
    if status and is_alive(status):
        raise RunError(
            f"{folder}: process {status['pid']} on {status['host']} is working on this run; wait or cancel it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "control.json").unlink(missing_ok=True)
    write_json_atomic(folder / "config.json", {"verb": verb, "options": config, "versions": versions()})
    run = Run(folder, verb, total, (status or {}).get("starts", []))
    try:
        with _signals_ask(run):
            yield run
    except Cancelled as reason:
        run.end(str(reason) or "cancelled")
        raise
    except BaseException as error:
        run.events.write("failed", step=run.step, error=str(error), type=type(error).__name__)
        run.note(f"failed: {error}")
        run.end("failed", error=str(error))
        raise
    run.events.write("done", step=run.step)
    run.end("finished")


def is_finished(folder: Path) -> bool:
    status = read_status(folder)
    return status is not None and status.get("state") == "finished"


def refuse_other_options(folder: Path, verb: str, config: dict[str, Any]) -> None:
    """Raise RunError where ``folder`` is something else than this verb's run with these options."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file, not a run folder; name another --run")
    file = folder / "config.json"
    if not file.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(f"{folder}: is not empty and no run folder; name a new folder with --run")
        return
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
        old_verb, options = old["verb"], dict(old["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is not a run's configuration ({error!r}); name another --run") from error
    if old_verb != verb:
        raise RunError(f"{folder}: holds a {old_verb} run; name another --run for {verb}")
    differing = [
        f"{key} {options.get(key)!r} -> {value!r}"
        for key, value in config.items()
        if key not in _HOW_NOT_WHAT and options.get(key) != value
    ]
    if differing:
        raise RunError(
            f"{folder}: was started with other options ({'; '.join(differing)}): give the same ones to continue it, "
            "or name another --run"
        )


@contextmanager
def _signals_ask(run: Run) -> Iterator[None]:
    """Turn SIGINT into a cancel and SIGTERM (a cluster's warning) into a pause, for the main thread's job."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if run.asked() is not None:  # a second Ctrl-C means now
            raise Cancelled("cancelled")
        run.ask("cancel" if number == signal.SIGINT else "pause")

    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def versions() -> dict[str, str]:
    """Of this package, Python, the system and the libraries already loaded (nothing is imported for it)."""
    found = {"voxmmsd": voxmmsd.__version__, "python": platform.python_version(), "system": platform.platform()}
    for name in ("torch", "monai", "numpy", "scipy", "nibabel", "onnxruntime"):
        if (module := sys.modules.get(name)) is not None:
            found[name] = str(getattr(module, "__version__", "?"))
    return found
