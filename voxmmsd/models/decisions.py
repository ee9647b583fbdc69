"""Decisions of the user on models: an append-only list, ``decisions.jsonl`` in the folder of the registry.

The model in use is the last accepted one whose acceptance is in effect; rolling back is another decision.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from voxmmsd.errors import ModelError
from voxmmsd.files import parse_json

PROPOSED = "proposed"  # nothing was decided yet; shown, never written
ACCEPTED, REJECTED, ROLLED_BACK, DELETED = "accepted", "rejected", "rolled back", "deleted"


@dataclass(frozen=True)
class Decision:
    """``time``: ISO, UTC."""

    model: str
    decision: str
    time: str


def append(file: Path, decision: Decision) -> None:
    """Add a line, in one write and synced, so that two writers do not mix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(decision), ensure_ascii=False) + "\n"
    whole = not file.exists() or not (content := file.read_bytes()) or content.endswith(b"\n")
    with file.open("ab") as stream:
        stream.write((line if whole else "\n" + line).encode())
        stream.flush()
        os.fsync(stream.fileno())


def read(file: Path) -> tuple[Decision, ...]:
    """All decisions, oldest first. A line that a killed writer left unfinished decided nothing.

    Raises:
        ModelError: the file cannot be read, or a line says something else.
    """
    return tuple(_read(file))


def _read(file: Path) -> Iterator[Decision]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read ({error})", "restore it, or move it away and accept again") from error
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_json(line)
        except ValueError as error:
            if not line.rstrip().endswith("}"):
                continue  # cut off by a kill
            raise ModelError(f"{file}, line {number}: is damaged ({error})", "correct or remove the line") from error
        try:
            yield Decision(**record)
        except TypeError as error:
            raise ModelError(f"{file}, line {number}: is not a decision ({error})", "remove the line") from error


def latest_decisions(decisions: tuple[Decision, ...]) -> dict[str, Decision]:
    """Model id -> the latest decision on it, in order of time."""
    last: dict[str, Decision] = {}
    for decision in decisions:
        last.pop(decision.model, None)
        last[decision.model] = decision
    return last
