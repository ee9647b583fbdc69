"""What a job says while it works: the interface of a run, and a run that writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from voxmmsd.runs.states import Request


class EventLog(Protocol):
    """Where events go (``voxmmsd.runs.events``)."""

    def write(self, kind: str, **fields: Any) -> None: ...


class RunLog(Protocol):
    """What a job needs of its run; ``Run`` writes it into the run folder."""

    @property
    def folder(self) -> Path: ...
    @property
    def step(self) -> int: ...
    @property
    def writes(self) -> bool: ...
    @property
    def events(self) -> EventLog: ...
    @property
    def seconds_left(self) -> float | None: ...
    def say(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def stage(self, text: str) -> None: ...
    def metric(self, step: int, name: str, value: float) -> None: ...
    def progress(self, step: int, stage: str = "") -> None: ...
    def asked(self) -> Request | None: ...
    def stop_if_asked(self) -> None: ...


class NullRun:
    """A run in processes of rank > 0, or of a measurement: it knows the folder, but neither reads requests nor
    writes."""

    writes = False
    seconds_left: float | None = None

    def __init__(self, folder: Path) -> None:
        self.folder, self.step = folder, 0
        self.events: EventLog = _NoEvents()

    def say(self, text: str) -> None:
        pass

    note = warn = stage = say

    def metric(self, step: int, name: str, value: float) -> None:
        pass

    def progress(self, step: int, stage: str = "") -> None:
        self.step = step

    def asked(self) -> Request | None:
        return None

    def stop_if_asked(self) -> None:
        pass


class _NoEvents:
    def write(self, kind: str, **fields: Any) -> None:
        pass
