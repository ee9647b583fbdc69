"""The curves of a run, read from its events: for a terminal, a panel, a report or TensorBoard."""

from __future__ import annotations

from pathlib import Path

from voxmmsd.errors import MissingDependencyError
from voxmmsd.events import read_events

_BARS = "▁▂▃▄▅▆▇█"


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric name to (step, value) in order of steps, names in order of appearance.

    A run that was killed and continued does some steps twice, with the same values: the later one stands.
    """
    found: dict[str, dict[int, float]] = {}
    for event in read_events(folder / "events.jsonl"):
        if event["kind"] == "metric" and isinstance(event.get("value"), int | float):
            found.setdefault(str(event["name"]), {})[int(event["step"])] = float(event["value"])
    return {name: sorted(values.items()) for name, values in found.items()}


def sparkline(values: list[float], width: int) -> str:
    """One line of bars from the lowest to the highest value, each the mean of its stretch."""
    count = min(width, len(values))
    stretches = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(stretch) / len(stretch) for stretch in stretches]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[int((mean - low) / span * (len(_BARS) - 1) + 0.5) if span else 0] for mean in means)


def write_tensorboard(folder: Path) -> Path:
    """The curves as TensorBoard's files in ``folder/tensorboard``, made anew; that folder.

    Raises:
        MissingDependencyError: the package ``tensorboard`` is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingDependencyError(
            "TensorBoard files need the package tensorboard: pip install tensorboard"
        ) from error
    target = folder / "tensorboard"
    for old in target.glob("events.out.tfevents.*"):
        old.unlink()
    writer = EventFileWriter(str(target))
    times = {(e.get("step"), e.get("name")): float(e["time"]) for e in read_events(folder / "events.jsonl")}
    for name, curve in read_curves(folder).items():
        for step, value in curve:
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            writer.add_event(Event(wall_time=times[step, name], step=step, summary=summary))
    writer.close()
    return target
