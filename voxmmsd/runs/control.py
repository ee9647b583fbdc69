"""Requests to a run, through its folder, so that they work from any process or host."""

from __future__ import annotations

import time
from pathlib import Path

from voxmmsd.errors import RunError
from voxmmsd.files import write_json_atomic
from voxmmsd.runs.folder import INTERRUPTED, RunView, read_status, view_run

ANSWER_SECONDS = 60.0
_DONE_BY = {"pause": "paused", "cancel": "cancelled"}


def ask(folder: Path, request: str) -> None:
    """Write ``request`` (``pause`` or ``cancel``) for the run, which responds at its next step.

    Raises:
        RunError: no run, or none that could respond.
    """
    run = view_run(folder)
    if run.state not in ("running", "queued"):
        raise RunError(
            f"{folder}: is not running but {run.line()}, so there is nothing to {request}",
            "`voxmmsd runs list` names those at work",
        )
    write_json_atomic(folder / "control.json", {"request": request})


def stop(folder: Path, request: str, wait_seconds: float = ANSWER_SECONDS) -> RunView:
    """Pause or cancel a run and wait until it has left; the run as it then is.

    A paused or interrupted run is cancelled at once, since no process needs to agree.

    Raises:
        RunError: no run, nothing to stop, or no answer within ``wait_seconds``: the request then stands.
    """
    run = view_run(folder)
    if request == "cancel" and run.state in ("paused", INTERRUPTED):
        write_json_atomic(folder / "control.json", {"request": request})  # should it be alive after all
        write_json_atomic(folder / "status.json", {**(read_status(folder) or {}), "state": "cancelled"})
        return view_run(folder)
    ask(folder, request)
    end = time.monotonic() + wait_seconds
    while time.monotonic() < end:
        run = view_run(folder)
        if run.is_over:
            return run
        time.sleep(0.1)
    raise RunError(
        f"{folder}: was asked to {request} and has not answered in {wait_seconds:.0f} s",
        f"wait: it will at its next step (now: {run.line()})",
    )


def has_answered(run: RunView, request: str) -> bool:
    """Whether ``run`` ended as asked, and not by finishing or failing first."""
    return run.state == _DONE_BY[request]
