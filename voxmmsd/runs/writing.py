"""Write a run folder: the status of a long job, and requests to stop it."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.errors import Canceled, RunError, problem_and_remedy
from voxmmsd.files import is_disk_full, read_json, write_json_atomic
from voxmmsd.runs.events import EventWriter
from voxmmsd.runs.folder import (
    CONFIG,
    CONTROL,
    LAUNCH,
    refuse_other_options,
)
from voxmmsd.runs.lock import RunLock, refuse_if_active
from voxmmsd.runs.log import NullRun
from voxmmsd.runs.pids import process_start
from voxmmsd.runs.speed import Speed
from voxmmsd.runs.states import Request, RunState
from voxmmsd.runs.status import HEARTBEAT_SECONDS, STATUS, RunStatus, Start, read_status, write_status


class Run:
    """Writer of a run folder: created by ``open_run``, used by one process at a time."""

    writes = True

    def __init__(self, folder: Path, verb: str, total: int, earlier: RunStatus | None) -> None:
        self.folder = folder
        self.total = total
        self.step = earlier.step if earlier else 0
        self._around = _open_runs[-1] if _open_runs else None
        self._stage = ""
        self._state, self._error = RunState.RUNNING, ""
        self._begun = RunStatus(
            verb=verb,
            state=RunState.RUNNING,
            host=socket.gethostname(),
            pid=os.getpid(),
            pid_started=process_start(os.getpid()),
            starts=(*(earlier.starts if earlier else ()), _start()),
        )
        self._speed = Speed()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked: Request | None = None
        self.events = EventWriter(folder / "events.jsonl")
        self._log = (folder / "log.txt").open("a", encoding="utf-8")
        self._write_status()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    def say(self, text: str) -> None:
        """A line for people: on stderr and in ``log.txt``, which a detached run has for its stderr."""
        if not self._is_stderr_the_log():
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
        self.stage(stage)

    def stage(self, text: str) -> None:
        """What is being done, where no step of it is done yet."""
        self._stage = text

    @property
    def seconds_left(self) -> float | None:
        return self._speed.seconds_left(self.total - self.step)

    def asked(self) -> Request | None:
        """What a signal or ``control.json`` asked for, here or in the run around."""
        if self._asked is None:
            self._asked = self._read_control()
        if self._asked is None and self._around is not None:
            self._asked = self._around.asked()
        return self._asked

    def stop_if_asked(self) -> None:
        """Raises Canceled, as it was asked for; for jobs that have nothing to save first."""
        if request := self.asked():
            raise Canceled(request.leaves)

    def ask(self, request: Request) -> None:
        self._asked = request

    def end(self, state: RunState, error: str = "") -> None:
        """Write the last status and stop the heartbeat."""
        self._stop.set()
        self._heart.join()
        self._state, self._error = state, error
        try:
            self._write_status()
        except OSError as failed:
            if not is_disk_full(failed):
                raise
            self._overwrite_status()
        finally:
            self.events.close()
            self._log.close()

    def fail(self, error: BaseException) -> None:
        """As ``end``, with the reason everywhere it is looked for; on a full disk at least in the status."""
        with suppress(OSError):
            self.events.write("failed", step=self.step, **_said_by(error))
            self.note(f"failed: {error}")
        self.end(RunState.FAILED, error=str(error))

    def _read_control(self) -> Request | None:
        try:
            return Request(read_json(self.folder / CONTROL)["request"])
        except (OSError, ValueError, TypeError, KeyError):
            return None  # none there, or just being written: the next step looks again

    def _write_status(self) -> None:
        with self._lock:
            write_status(self.folder, self._status())

    def _status(self) -> RunStatus:
        left = self.seconds_left
        return replace(
            self._begun,
            state=self._state,
            error=self._error,
            stage=self._stage,
            step=self.step,
            total=self.total,
            seconds_left=None if left is None else round(left, 1),
            heartbeat=round(time.time(), 1),
        )

    def _overwrite_status(self) -> None:
        """In place: on a full disk there is no room for a second file, and the old one's room is ours."""
        with (self.folder / STATUS).open("r+", encoding="utf-8") as stream:
            stream.write(json.dumps(self._status().record()))
            stream.truncate()

    def _beat(self) -> None:
        """Write the status when the job has moved, at most once a second, and every ten seconds in any case."""
        written, moved = time.monotonic(), (self.step, self._stage)
        while not self._stop.wait(1.0):
            now_at = (self.step, self._stage)
            if now_at == moved and time.monotonic() - written < HEARTBEAT_SECONDS:
                continue
            written, moved = time.monotonic(), now_at
            try:
                self._write_status()
            except Exception as error:  # a full disk, a share away for a moment: the job may still come through
                print(f"warning: {self.folder}/{STATUS} cannot be written: {error}", file=sys.stderr, flush=True)

    def _is_stderr_the_log(self) -> bool:
        try:
            return os.path.samestat(os.fstat(sys.stderr.fileno()), os.fstat(self._log.fileno()))
        except (OSError, ValueError, AttributeError):  # stderr is closed or no file, as under pytest
            return False


def _end_of(reason: Canceled) -> RunState:
    """What a job that stopped leaves its run as."""
    return RunState(str(reason)) if str(reason) in set(RunState) else RunState.CANCELED


def _said_by(error: BaseException) -> dict[str, str]:
    """What a ``failed`` event tells of an error."""
    problem, remedy = problem_and_remedy(error)
    return {"error": str(error), "problem": problem, "remedy": remedy, "type": type(error).__name__}


_open_runs: list[Run] = []  # of this process: a comparison's trainings are runs within its run


@contextmanager
def open_run(
    folder: Path,
    verb: str,
    config: dict[str, Any],
    total: int,
    continues: bool = True,
    call: dict[str, Any] | None = None,
    may_differ: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[Run]:
    """Start or continue a job in ``folder``; on the way out its status says how it ended.

    ``continues`` is False for verbs that check their own results and may be called again with other options.
    ``call`` holds the verb's options for ``runs resume`` where ``config`` does not. ``may_differ``: options that do not
    change what comes out, with which a run may be continued. ``defaults``: of options, also of those that have been
    added since the run was started.
    SIGINT and SIGTERM become a request that the job sees at its next step (``Run.asked``).

    Raises:
        RunError: another process works in the folder, it holds another job or other options, or the disk is full.
    """
    if continues:
        refuse_other_options(folder, verb, config, may_differ, defaults)
    status = read_status(folder)
    refuse_if_active(folder, status)
    folder.mkdir(parents=True, exist_ok=True)
    run_lock = RunLock(folder)
    try:
        with _opened(folder, verb, {"options": config, "call": call or config}, total, status) as run:
            yield run
    finally:
        run_lock.release()


@contextmanager
def _opened(folder: Path, verb: str, given: dict[str, Any], total: int, status: RunStatus | None) -> Iterator[Run]:
    # What was asked of a queued run stands, and of one that is being resumed, whose start cleared what was before.
    if LAUNCH not in os.environ and (status is None or status.state is not RunState.QUEUED):
        (folder / CONTROL).unlink(missing_ok=True)
    record = {"verb": verb, **given, "directory": str(Path.cwd()), "versions": versions()}
    write_json_atomic(folder / CONFIG, record)
    run = Run(folder, verb, total, status)
    _open_runs.append(run)
    try:
        with _signals_ask(run):
            yield run
    except Canceled as reason:
        run.end(_end_of(reason))
        raise
    except BaseException as error:
        if is_disk_full(error):
            full = RunError(f"{folder}: the disk is full", "free disk space and call again to continue")
            run.fail(full)
            raise full from error
        run.fail(error)
        raise
    else:
        run.events.write("done", step=run.step)
        run.end(RunState.FINISHED)
    finally:
        _open_runs.remove(run)


@contextmanager
def _signals_ask(run: Run) -> Iterator[None]:
    """Turn SIGINT into a cancel and SIGTERM (a cluster's warning) into a pause, for the main thread's job."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    interrupts = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:  # a second Ctrl-C means now
            raise Canceled(RunState.CANCELED)
        if number == signal.SIGINT:
            run.ask(Request.CANCEL)
        elif run.asked() is None:
            run.ask(Request.PAUSE)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def stand_by(folder: Path) -> Iterator[NullRun]:
    """Like ``open_run``, for ranks other than 0; only rank 0 handles signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    yield NullRun(folder)


def _start() -> Start:
    launch = os.environ.pop(LAUNCH, "")  # of this run, not of those within it
    return Start(now(), socket.gethostname(), os.getpid(), launch)


def versions() -> dict[str, str]:
    """Of this package, Python, the system and the libraries already loaded (nothing is imported for it)."""
    found = {"voxmmsd": voxmmsd.__version__, "python": platform.python_version(), "system": platform.platform()}
    for name in ("torch", "monai", "numpy", "scipy", "nibabel", "onnxruntime"):
        if (module := sys.modules.get(name)) is not None:
            found[name] = str(getattr(module, "__version__", "?"))
    return found
