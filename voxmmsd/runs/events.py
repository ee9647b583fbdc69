"""The run folder's ``events.jsonl``: one JSON object a line, written as things happen. Standard library only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voxmmsd.files import parse_json, without_nan

KINDS = ("progress", "metric", "preview", "warning", "done", "failed")


class EventWriter:
    """Appends events; a line is written in one call and flushed, so a reader sees whole lines or a last partial one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end_last_line()
        self._stream = path.open("a", encoding="utf-8")

    def write(self, kind: str, **fields: Any) -> None:
        """Raises ValueError for a kind that readers do not know."""
        if kind not in KINDS:
            raise ValueError(f"no event kind {kind!r}: one of {', '.join(KINDS)}")
        record = {"time": round(time.time(), 3), "kind": kind, **{k: without_nan(v) for k, v in fields.items()}}
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _end_last_line(self) -> None:
        # A killed writer can leave half a line; the next event must not be glued to it.
        if self.path.is_file() and (content := self.path.read_bytes()) and not content.endswith(b"\n"):
            with self.path.open("ab") as stream:
                stream.write(b"\n")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events in order; a line that a killed writer left unfinished is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        yield from (event for line in stream if (event := event_of(line)) is not None)


class AppendedLines:
    """A text file that another process writes: ``read`` gives the whole lines, with their ends, that came since the
    last call. ``first_bytes``: how much of the file's end the first call reads at most (default: all of it)."""

    def __init__(self, file: Path, first_bytes: int | None = None) -> None:
        self._file, self._first_bytes = file, first_bytes
        self._offset = 0

    def read(self) -> list[str]:
        try:
            size = self._file.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return []
        if size < self._offset:  # started over
            self._offset = 0
        if self._offset == 0 and self._first_bytes is not None:
            self._offset = max(0, size - self._first_bytes)
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [line.decode("utf-8", errors="replace") for line in whole.splitlines(keepends=True)]


def failure_of(event: dict[str, Any]) -> tuple[str, str]:
    """The problem and the remedy that a ``failed`` event tells; without a remedy where it has one text, as older runs
    wrote, or where a fault of the software ended the run."""
    problem, remedy = event.get("problem") or event.get("error") or "", event.get("remedy") or ""
    return str(problem), str(remedy)


def event_of(line: str) -> dict[str, Any] | None:
    """The event that a line holds, of one of KINDS; None where it holds none. Its other fields may be anything."""
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("kind") in KINDS else None
