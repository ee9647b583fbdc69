"""How far a segmentation is: stages with shares of the time that they are expected to take, by the last runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.wording import in_words

# Seconds on a laptop's CPU for four modalities, until this computer's own are known.
FIRST_GUESS = {
    "saving": 2.0,
    "starting": 4.0,
    "reading": 12.0,
    "aligning": 70.0,
    "stripping": 10.0,
    "correcting": 60.0,
    "segmenting": 20.0,
    "writing": 4.0,
    "showing": 2.0,
}
# The same for a carry, which begins as a run does.
CARRY_GUESS = {
    "saving": 2.0,
    "starting": 4.0,
    "reading": 8.0,
    "features": 20.0,
    "carrying": 2.0,
    "writing": 1.0,
    "showing": 1.0,
}
# The same for a follow-up of two visits.
FOLLOW_GUESS = {"saving": 3.0, "comparing": 15.0, "showing": 2.0}
ONCE = ("reading", "features")  # stages of a case's first carry alone
MIRRORS = 8  # how much longer it takes with test-time augmentation
NEVER_FULL = 0.95  # of a stage's share, while it lasts
STAGES = {
    "saving": _("Preparing the images"),
    "starting": _("Starting"),
    "reading": _("Reading the images"),
    "aligning": _("Aligning the images"),
    "stripping": _("Extracting the brain"),
    "correcting": _("Removing bias fields"),
    "segmenting": _("Segmenting"),
    "features": _("Computing the network's features, once for this case"),
    "carrying": _("Carrying your edits"),
    "comparing": _("Registering and comparing the visits"),
    "writing": _("Writing the result"),
    "showing": _("Showing the result"),
}


@dataclass(frozen=True)
class Progress:
    """``share`` of the work, 0 to 1, or None where it cannot be told."""

    stage: str
    share: float | None = None
    seconds_left: float | None = None

    def line(self) -> str:
        if self.seconds_left is None:
            return self.stage
        return _("{stage}, about {time} left").format(stage=self.stage, time=in_words(max(1.0, self.seconds_left)))


def stages_of(*, align: bool, strip: bool, correct: bool = False) -> tuple[str, ...]:
    """The stages of a run in their order."""
    wanted = {"aligning": align, "stripping": strip, "correcting": correct}
    return tuple(stage for stage in FIRST_GUESS if wanted.get(stage, True))


class Plan:
    """Shares and seconds left of one run. Times are seconds of one clock; ``expected`` are seconds by stage."""

    def __init__(self, expected: Mapping[str, float], now: float) -> None:
        self.expected = dict(expected)
        self.took: dict[str, float] = {}
        self._share = 0.0
        self._stage, self._since, self._part = next(iter(expected)), now, 0.0

    def begin(self, stage: str, now: float) -> None:
        """A stage has begun; one that was not foreseen counts as nothing."""
        if stage != self._stage and stage in STAGES:
            self.took[self._stage] = self.took.get(self._stage, 0.0) + now - self._since
            self._stage, self._since, self._part = stage, now, 0.0

    def follow(self, events: Iterable[Mapping[str, Any]], now: float) -> None:
        """What a run folder's new events say of stages and of their parts."""
        for event in events:
            if event["kind"] == "progress":
                self.begin(event.get("stage") or "", now)
                if total := event.get("total"):
                    self.done(event.get("done", 0) / total, now)

    def done(self, part: float, now: float) -> None:
        """A part of the present stage, 0 to 1, is done: what it takes is reckoned from that."""
        self._part = part
        if part > 0:
            self.expected[self._stage] = max(now - self._since, 0.1) / part

    def end(self, now: float) -> None:
        """The last stage is over."""
        self.took[self._stage] = self.took.get(self._stage, 0.0) + now - self._since

    def at(self, now: float) -> Progress:
        """How far it is."""
        order = [*self.expected, *([] if self._stage in self.expected else [self._stage])]
        number = order.index(self._stage)
        seconds = [self.expected.get(stage, 0.0) for stage in order]
        present, spent = seconds[number], now - self._since
        part = max(self._part, min(NEVER_FULL, spent / present if present else 0.0))
        done = sum(seconds[:number]) + part * present
        left = (1 - part) * present + sum(seconds[number + 1 :])
        # A stage that takes longer than it was expected to moves the end away, but never what is done.
        self._share = max(self._share, min(1.0, done / max(sum(seconds), 1e-9)))
        return Progress(STAGES[self._stage], self._share, left)
