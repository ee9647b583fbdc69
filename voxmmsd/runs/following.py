"""A run as a window follows it: each look reads what was appended since the last, so that it may look every second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voxmmsd.runs.curves import metric_of
from voxmmsd.runs.events import AppendedLines, event_of
from voxmmsd.runs.folder import RunView, view_run

LOG_TAIL_BYTES = 64 * 1024  # of a log that is long already at the first look


@dataclass(frozen=True)
class Preview:
    """A picture that a run made after ``step`` steps."""

    step: int
    file: Path


@dataclass(frozen=True)
class News:
    """What a look brought: the run as it is now, which kinds of things are new, and new text of its log."""

    run: RunView
    has_metrics: bool
    has_previews: bool
    log: str


class Follower:
    """A run folder, local or on a share, and all that was read of it so far.

    Raises:
        RunError: there is no run (also from ``look``, when the folder goes).
    """

    def __init__(self, folder: Path) -> None:
        view_run(folder)
        self.folder = folder
        self.previews: list[Preview] = []
        self.warnings: list[str] = []
        self._curves: dict[str, dict[int, float]] = {}
        self._events = AppendedLines(folder / "events.jsonl")
        self._log = AppendedLines(folder / "log.txt", LOG_TAIL_BYTES)

    @property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """As ``read_curves``: metric name to (step, value) in order of steps."""
        return {name: sorted(values.items()) for name, values in self._curves.items()}

    def look(self) -> News:
        """Read what is new."""
        run = view_run(self.folder)
        kinds = [self._take(line) for line in self._events.read()]
        return News(run, "metric" in kinds, "preview" in kinds, "".join(self._log.read()))

    def _take(self, line: str) -> str:
        """Keep what an event says; its kind, empty where nothing of it can be shown."""
        event = event_of(line)
        if event is None:
            return ""
        if metric := metric_of(event):
            self._curves.setdefault(metric.name, {})[metric.step] = metric.value
        elif event["kind"] == "preview" and isinstance(event.get("step"), int) and isinstance(event.get("file"), str):
            self.previews.append(Preview(event["step"], self.folder / event["file"]))
        elif event["kind"] == "warning":
            self.warnings.append(str(event.get("text", "")))
        else:
            return ""
        return str(event["kind"])
