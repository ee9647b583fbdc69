"""The run folder: the complete state of a long job, written by the job and read by everything else.

Standard library only, since a panel reads it. Reading order: ``states``, ``status`` and ``folder`` (what a reader
sees), ``log`` (what a job says), ``writing`` (what the job does), ``lock`` (one process at a time), ``control``
(pause, cancel), ``launch`` (detached start, resume), ``parent_watch`` (the opposite: a process that ends with another),
``watch`` (a run in a terminal), ``events`` and ``curves`` (metrics out of them).
"""

from voxmmsd.runs.folder import (
    RunView,
    find_run,
    is_finished,
    list_runs,
    read_config,
    refuse_other_options,
    resolve_run,
    view_run,
)
from voxmmsd.runs.log import NullRun, RunLog
from voxmmsd.runs.states import Request, RunState
from voxmmsd.runs.status import RunStatus, read_status, write_status
from voxmmsd.runs.writing import Run, open_run, stand_by, versions

__all__ = [
    "NullRun",
    "Request",
    "Run",
    "RunLog",
    "RunState",
    "RunStatus",
    "RunView",
    "find_run",
    "is_finished",
    "list_runs",
    "open_run",
    "read_config",
    "read_status",
    "refuse_other_options",
    "resolve_run",
    "stand_by",
    "versions",
    "view_run",
    "write_status",
]
