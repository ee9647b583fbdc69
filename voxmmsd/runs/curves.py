"""The curves of a run, read from its events: for a terminal, a panel, a report or TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxmmsd.errors import MissingDependencyError
from voxmmsd.runs.events import read_events

_LARGEST = 2.0**62  # of a number in an event; not-a-number is not below it either
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Metric:
    """A value of a curve; ``time`` in seconds since the epoch."""

    name: str
    step: int
    value: float
    time: float


def metric_of(event: Mapping[str, Any]) -> Metric | None:
    """What a metric's event says; None for what is none, or cannot be drawn: anybody may have written the folder."""
    name = event.get("name")
    numbers: list[Any] = [event.get("step"), event.get("value"), event.get("time", 0.0)]
    if event.get("kind") != "metric" or not isinstance(name, str) or not all(map(_is_number, numbers)):
        return None
    step, value, time = numbers
    return Metric(name, int(step), float(value), float(time))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric name to (step, value) in order of steps, names in order of appearance.

    A run that was killed and continued does some steps twice, with the same values: the later one stands.
    """
    found: dict[str, dict[int, float]] = {}
    for one in _metrics(folder):
        found.setdefault(one.name, {})[one.step] = one.value
    return {name: sorted(values.items()) for name, values in found.items()}


def _metrics(folder: Path) -> Iterator[Metric]:
    return (one for event in read_events(folder / "events.jsonl") if (one := metric_of(event)) is not None)


def sparkline(values: list[float], width: int) -> str:
    """One line of bars from the lowest to the highest value, each the mean of its stretch."""
    count = min(width, len(values))
    stretches = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(stretch) / len(stretch) for stretch in stretches]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[int((mean - low) / span * (len(_BARS) - 1) + 0.5) if span else 0] for mean in means)


def write_tensorboard(folder: Path) -> Path:
    """Write the curves as TensorBoard files to ``folder/tensorboard``, replacing old ones; returns that folder.

    Raises:
        MissingDependencyError: the package ``tensorboard`` is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingDependencyError(
            "TensorBoard files need the package tensorboard", "install it with `pip install tensorboard`"
        ) from error
    target = folder / "tensorboard"
    for old in target.glob("events.out.tfevents.*"):
        old.unlink()
    writer = EventFileWriter(str(target))
    last = {(one.name, one.step): one for one in _metrics(folder)}
    for _, one in sorted(last.items()):
        summary = Summary(value=[Summary.Value(tag=one.name, simple_value=one.value)])
        writer.add_event(Event(wall_time=one.time, step=one.step, summary=summary))
    writer.close()
    return target
