"""Show a run in a terminal: state, progress, remaining time and curves, once or live."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

from voxmmsd.runs.curves import read_curves, sparkline
from voxmmsd.runs.events import read_events
from voxmmsd.runs.folder import RunView, view_run

REFRESH_SECONDS = 1.0


def describe(folder: Path, width: int = 80) -> str:
    """Some lines on a run: its state, its starts, a bar, its curves and warnings."""
    run = view_run(folder)
    lines = [f"{folder}", f"{run.verb}: {run.line()}", _bar(run, width)]
    if len(run.starts) > 1:
        lines.append(f"started {len(run.starts)} times, last {run.starts[-1].time} on {run.starts[-1].host}")
    curves = read_curves(folder)
    name_width = max(map(len, curves), default=0)
    for name, curve in curves.items():
        values = [value for _, value in curve]
        line = sparkline(values, max(10, width - name_width - 14))
        lines.append(f"{name:<{name_width}}  {values[-1]:>10.4g}  {line}")
    warnings = [event for event in read_events(folder / "events.jsonl") if event["kind"] == "warning"]
    lines += [f"warning at step {event.get('step')}: {event.get('text')}" for event in warnings[-3:]]
    return "\n".join(lines)


def watch(folder: Path, stream: TextIO = sys.stdout, refresh_seconds: float = REFRESH_SECONDS) -> RunView:
    """Follow a run until no process works on it; the run as it ended.

    In a terminal the picture is drawn over itself; elsewhere a line is printed whenever the run has moved.
    """
    drawn, last = 0, ""
    while True:
        run = view_run(folder)
        if stream.isatty():
            width, height = shutil.get_terminal_size()
            text = _fitted(describe(folder, width), width, height)
            if drawn:
                stream.write(f"\x1b[{drawn}F\x1b[J")  # up to where it began, clear from there
            stream.write(text + "\n")
            drawn = text.count("\n") + 1
        elif run.line() != last:
            stream.write(run.line() + "\n")
            last = run.line()
        stream.flush()
        if run.is_over:
            return run
        time.sleep(refresh_seconds)


def _fitted(text: str, width: int, height: int) -> str:
    """What does not fit the terminal would scroll, and could not be drawn over."""
    return "\n".join(line[:width] for line in text.splitlines()[: max(1, height - 1)])


def _bar(run: RunView, width: int) -> str:
    room = max(10, width - 8)
    share = min(1.0, run.step / run.total) if run.total else 0.0
    full = int(share * room)
    return f"[{'#' * full}{'.' * (room - full)}] {share:>4.0%}"
