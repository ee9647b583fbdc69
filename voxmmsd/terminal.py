"""What a command prints: safe for any terminal, and bars only where there is one."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

EVERY_SECONDS = 10.0  # between two lines of progress where stderr is no terminal
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with control characters spelled out: names and tables of others never command a terminal."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class _Safe:
    """A stream that spells out control characters and what its encoding lacks.

    ``forgives``: a reader that went away, or a descriptor that was closed, does not end the work (stderr).
    """

    def __init__(self, stream: TextIO, forgives: bool) -> None:
        self._stream, self._forgives = stream, forgives

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        safe = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(safe)
        except (OSError, ValueError):
            if not self._forgives:
                raise
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            if not self._forgives:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Within, ``sys.stdout`` and ``sys.stderr`` are safe to print to, also where they were closed."""
    before = sys.stdout, sys.stderr
    nowhere = [open(os.devnull, "w", encoding="utf-8") for stream in before if stream is None]  # noqa: PTH123, SIM115
    out, err = (stream if stream is not None else nowhere[0] for stream in before)
    sys.stdout, sys.stderr = _Safe(out, forgives=False), _Safe(err, forgives=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def leave_stdout() -> None:
    """After its reader has gone: what is still buffered must not fail again as the process ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def progress_bar(
    total: int | None = None, initial: int = 0, desc: str = "", unit: str = "", disable: bool = False
) -> Any:
    """A bar of tqdm on a terminal; elsewhere plain lines, at most one in EVERY_SECONDS. It has tqdm's ``n``, ``total``,
    ``update`` and ``set_postfix``."""
    if disable or not _is_terminal():
        return _Lines(total, initial, desc, unit, silent=disable)
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, desc=desc, unit=unit, dynamic_ncols=True, leave=total is not None)


def _is_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError, OSError):
        return False


class _Lines:
    def __init__(self, total: int | None, initial: int, desc: str, unit: str, silent: bool) -> None:
        self.total, self.n, self._desc, self._unit, self._silent = total, initial, desc, unit, silent
        self._postfix, self._last = "", time.monotonic()

    def update(self, count: float = 1) -> None:
        self.n += int(count)
        if not self._silent and time.monotonic() - self._last >= EVERY_SECONDS:
            self._last = time.monotonic()
            of = f" of {self.total:,}" if self.total else ""
            print(f"{self._desc}: {self.n:,}{of} {self._unit}s{self._postfix}", file=sys.stderr, flush=True)

    def set_postfix(self, **values: str) -> None:
        self._postfix = "".join(f", {name} {value}" for name, value in values.items())

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return
