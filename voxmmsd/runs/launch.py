"""Start a verb as a detached process that survives its parent, and resume an earlier run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxmmsd.errors import ERROR, REMEDY_APART, RunError
from voxmmsd.runs.folder import CONTROL, LAUNCH, read_config
from voxmmsd.runs.states import RunState
from voxmmsd.runs.status import queued_status, read_status, write_status

SIGN_OF_LIFE_SECONDS = 120.0  # torch alone can take half a minute to load from a cold disk


def start_detached(
    arguments: Sequence[str], folder: Path, python: str = sys.executable, directory: Path | None = None
) -> int | None:
    """Run ``python -m voxmmsd ARGUMENTS``, with run folder ``folder``, detached; returns the pid of the process.

    The process has its own session (or process group), no pipe to its parent, and prints to ``log.txt``. Returns None
    if there was nothing left to do. ``python`` may be a launcher that starts the real interpreter.

    Raises:
        RunError: another process is active in the folder, or the new one ended before its first status (its last line
            is the reason); an earlier run in the folder is unchanged.
    """
    earlier = read_status(folder)
    if earlier and earlier.is_alive():
        raise RunError(
            f"{folder}: process {earlier.pid} on {earlier.host} is working on this run",
            "wait, or `voxmmsd runs cancel` it",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONTROL).unlink(missing_ok=True)
    log, launch = folder / "log.txt", uuid.uuid4().hex
    before = log.stat().st_size if log.is_file() else 0
    if earlier is None:
        write_status(folder, queued_status(arguments[0], os.getpid()))
    environment = {**os.environ, LAUNCH: launch, "TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}  # no bars in a file
    environment.pop(REMEDY_APART, None)  # the panel's child asks for it; this one is read by people
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-m", "voxmmsd", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            **_detached(),
        )
    if earlier is None and _is_queued(folder):  # from now on it lives as long as that process, and not as this one
        write_status(folder, queued_status(arguments[0], process.pid))
    try:
        return _await_life(folder, arguments[0], process, launch)
    except RunError as error:
        said = log.read_bytes()[before:].decode(errors="replace").strip().splitlines()
        reason = said[-1].removeprefix(ERROR) if said else "it printed nothing"
        if (status := read_status(folder)) and status.state is RunState.QUEUED:
            write_status(folder, replace(status, state=RunState.FAILED, error=reason))
        raise RunError(f"{folder}: {error.problem}: {reason}", error.remedy) from error


def resume_call(folder: Path) -> tuple[str, dict[str, Any], Path]:
    """The verb that resumes the run in ``folder``, its options, and the directory its paths are relative to.

    Raises:
        RunError: no run, or nothing left to do.
    """
    record, status = read_config(folder), read_status(folder)
    if record is None or status is None:
        raise RunError(f"{folder}: holds no run to resume", "`voxmmsd runs list` names the known ones")
    if status.state is RunState.FINISHED:
        raise RunError(f"{folder}: is finished", "start a new run in another folder, with --run")
    directory = Path(record.get("directory", "."))
    if not directory.is_dir():
        raise RunError(
            f"{folder}: was started in {directory}, which does not exist",
            "restore that folder: its paths may be relative to it",
        )
    return str(record["verb"]), dict(record["call"]), directory


def _is_queued(folder: Path) -> bool:
    status = read_status(folder)
    return status is not None and status.state is RunState.QUEUED


def _await_life(folder: Path, verb: str, process: subprocess.Popen, launch: str) -> int | None:
    end, refreshed = time.monotonic() + SIGN_OF_LIFE_SECONDS, time.monotonic()
    while time.monotonic() < end:
        code = process.poll()
        status = read_status(folder)
        # By ``starts``, since a short job may be over already; by a token, since a launcher's pid is not the job's.
        if mine := [start for start in (status.starts if status else ()) if start.launch == launch]:
            return mine[-1].pid
        if code is not None:
            if code:
                raise RunError(f"the run ended at its start (exit {code})", "correct that and start it again")
            return None
        if time.monotonic() - refreshed > 5 and _is_queued(folder):
            refreshed = time.monotonic()
            write_status(folder, queued_status(verb, process.pid))
        time.sleep(0.05)
    raise RunError(
        f"no response within {SIGN_OF_LIFE_SECONDS:.0f} s",
        "see its log.txt, and start it again when the machine has room",
    )


def _detached() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
