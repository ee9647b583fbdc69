"""What a run does, and what it can be asked to do."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """``INTERRUPTED`` and ``UNREADABLE`` are shown and never written: the process died and could not say so, or the
    record is damaged."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"
    UNREADABLE = "unreadable"

    @classmethod
    def _missing_(cls, value: object) -> RunState | None:
        return cls.CANCELED if value == "cancelled" else None  # as runs of before have it

    @property
    def is_active(self) -> bool:
        """A process works on the run, or will."""
        return self in (RunState.QUEUED, RunState.RUNNING)

    @property
    def can_resume(self) -> bool:
        return self in (RunState.PAUSED, RunState.INTERRUPTED, RunState.FAILED, RunState.CANCELED)


class Request(StrEnum):
    """What a run is asked for, by a signal or in ``control.json``."""

    PAUSE = "pause"
    CANCEL = "cancel"

    @property
    def leaves(self) -> RunState:
        """The state of a run that has answered."""
        return RunState.PAUSED if self is Request.PAUSE else RunState.CANCELED
