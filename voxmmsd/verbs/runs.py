"""``voxmmsd runs``: list, watch and steer long jobs."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, VerbGroup, require

if TYPE_CHECKING:
    from voxmmsd.runs import Request


@dataclass(frozen=True)
class RunsListConfig:
    name: str = option("", "folder of runs (default: $VOXMMSD_HOME/runs)", affects=Affects.INPUT, positional=True)


@dataclass(frozen=True)
class RunConfig:
    name: str = option("", "run folder, or a name in $VOXMMSD_HOME/runs", affects=Affects.INPUT, positional=True)


@dataclass(frozen=True)
class StopConfig(RunConfig):
    wait: float = option(60.0, "seconds to wait for the run to respond", range=(0, math.inf))


def _list(config: RunsListConfig) -> None:
    from voxmmsd.home import home
    from voxmmsd.runs import list_runs

    parent = Path(config.name) if config.name else home() / "runs"
    listed = list_runs(parent)
    if not listed:
        print(f"{parent}: no run here; `voxmmsd runs list FOLDER` looks in another folder")
    width = max((len(run.folder.name) for run in listed), default=0)
    for run in listed:
        print(f"{run.folder.name:<{width}}  {run.verb:<8}  {run.line()}")


def _show(config: RunConfig) -> None:
    from voxmmsd.runs.watch import describe

    print(describe(_folder(config)))


def _watch(config: RunConfig) -> int:
    from voxmmsd.runs import RunState
    from voxmmsd.runs.watch import watch

    folder = _folder(config)
    try:
        return 0 if watch(folder).state in (RunState.FINISHED, RunState.PAUSED) else 1
    except KeyboardInterrupt:
        print(f"{folder}: no longer watched; the run itself goes on", file=sys.stderr)
        return 130


def _pause(config: StopConfig) -> int:
    from voxmmsd.runs import Request

    return _stop(config, Request.PAUSE)


def _cancel(config: StopConfig) -> int:
    from voxmmsd.runs import Request

    return _stop(config, Request.CANCEL)


def _stop(config: StopConfig, request: Request) -> int:
    from voxmmsd.runs.control import has_answered, stop

    folder = _folder(config)
    ended = stop(folder, request, config.wait)
    print(f"{folder}: {ended.line()}")
    return 0 if has_answered(ended, request) else 1


def _resume(config: RunConfig) -> int:
    """Resume a run, as calling its verb again would, in the directory it was started from."""
    import os

    from voxmmsd.runs.launch import resume_call
    from voxmmsd.verbs import find_verb

    folder = _folder(config)
    name, options, directory = resume_call(folder)
    verb = find_verb(name)
    # Where the run lies now: it may have been moved or be named by another path than at its start.
    options[verb.placed_by] = str(folder.absolute().parent if folder.name == ".run" else folder.absolute())
    os.chdir(directory)
    return verb.run(verb.configured(options)) or 0


def _tensorboard(config: RunConfig) -> None:
    from voxmmsd.runs.curves import write_tensorboard

    print(write_tensorboard(_folder(config)))


def _folder(config: RunConfig) -> Path:
    from voxmmsd.runs import find_run

    return find_run(str(require(config.name, "RUN")))


def _folder_to_resume(config: RunConfig) -> Path:
    from voxmmsd.runs.launch import resume_call

    folder = _folder(config)
    resume_call(folder)  # refuses what cannot be resumed
    return folder


VERB = VerbGroup(
    "runs",
    "list, watch, pause, resume or cancel long jobs",
    (
        Verb("list", "list the runs in a folder, the most recent first", RunsListConfig, _list),
        Verb("show", "describe a run: its state, options and latest metrics", RunConfig, _show),
        Verb("watch", "follow a run until it ends", RunConfig, _watch),
        Verb("pause", "ask a run to save a checkpoint and stop", StopConfig, _pause),
        Verb("resume", "continue a run that was stopped", RunConfig, _resume, _folder_to_resume),
        Verb("cancel", "ask a run to stop", StopConfig, _cancel),
        Verb("tensorboard", "write the metrics of a run as TensorBoard files", RunConfig, _tensorboard),
    ),
)
