"""Requests to a run, through its folder, so that they work from any process or host."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from voxmmsd.errors import RunError
from voxmmsd.files import write_json_atomic
from voxmmsd.runs.folder import CONTROL, RunView, view_run
from voxmmsd.runs.states import Request, RunState
from voxmmsd.runs.status import read_status, write_status

ANSWER_SECONDS = 60.0


def ask(folder: Path, request: Request) -> None:
    """Write ``request`` for the run, which responds at its next step.

    Raises:
        RunError: no run, or none that could respond.
    """
    run = view_run(folder)
    if not run.state.is_active:
        raise RunError(
            f"{folder}: is not running but {run.line()}, so there is nothing to {request}",
            "`voxmmsd runs list` names those at work",
        )
    write_json_atomic(folder / CONTROL, {"request": request})


def stop(folder: Path, request: Request, wait_seconds: float = ANSWER_SECONDS) -> RunView:
    """Pause or cancel a run and wait until it has left; the run as it then is.

    A paused or interrupted run is canceled at once, since no process needs to agree.

    Raises:
        RunError: no run, nothing to stop, or no answer within ``wait_seconds``: the request then stands.
    """
    run = view_run(folder)
    if request == Request.CANCEL and run.state in (RunState.PAUSED, RunState.INTERRUPTED):
        write_json_atomic(folder / CONTROL, {"request": request})  # should it be alive after all
        if status := read_status(folder):
            write_status(folder, replace(status, state=RunState.CANCELED))
        return view_run(folder)
    ask(folder, request)
    end = time.monotonic() + wait_seconds
    while time.monotonic() < end:
        run = view_run(folder)
        if run.is_over:
            return run
        time.sleep(0.1)
    raise RunError(
        f"{folder}: was asked to {request} and has not responded in {wait_seconds:.0f} s",
        f"wait: it will at its next step (now: {run.line()})",
    )


def has_answered(run: RunView, request: Request) -> bool:
    """Whether ``run`` ended as asked, and not by finishing or failing first."""
    return run.state is request.leaves
