"""Runs and errors in words, for people in front of a panel."""

from __future__ import annotations

import re

from slicer.i18n import tr as _

from voxmmsd.runs import RunState, RunView
from voxmmsd.wording import in_words
from VoxMMSDLib import words as common


def verb(name: str) -> str:
    words = {"pretrain": _("Pre-train"), "finetune": _("Fine-tune"), "prepare": _("Prepare"), "compare": _("Compare")}
    return words.get(name, name)


def state(run: RunView) -> str:
    """In a word or two."""
    words = {
        RunState.QUEUED: _("starting"),
        RunState.RUNNING: _("running"),
        RunState.PAUSED: _("paused"),
        RunState.FINISHED: _("finished"),
        RunState.FAILED: _("failed"),
        RunState.CANCELED: _("canceled"),
        RunState.INTERRUPTED: _("interrupted"),
    }
    return words.get(run.state, run.state)


def progress(run: RunView) -> str:
    """State and percent, for a table."""
    if run.state is RunState.RUNNING and run.total:
        return _("{state}, {percent} %").format(state=state(run), percent=100 * run.step // run.total)
    return state(run)


def sentence(run: RunView) -> str:
    """What is going on, where, and how long it will take."""
    text = _("{name}: {state}").format(name=run.folder.name, state=state(run))
    if run.state.is_active:
        text += _(" on {host}").format(host=run.host)
        text += f", {run.stage}" if run.stage else ""
    if run.silent_since:
        text += _(", no response since {time:%Y-%m-%d %H:%M:%S}").format(time=run.silent_since)
    text += _("; step {step} of {total}").format(step=run.step, total=run.total) if run.total else ""
    if run.state is RunState.RUNNING and run.seconds_left is not None:
        text += _(", {time} left").format(time=in_words(run.seconds_left))
    return text


def plain(error: Exception) -> str:
    """An error of the core without a remedy that is for a command line."""
    problem, remedy = common.in_words(error)
    return f"{problem}; {remedy}" if remedy and not is_for_a_command_line(remedy) else problem


def is_for_a_command_line(advice: str) -> bool:
    """Whether it names the core's verbs or their options, which the panel's user does not see."""
    return re.search(r"`voxmmsd|(?<!\w)--\w", advice) is not None
