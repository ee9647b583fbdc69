"""Writing whole files or none: aside, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, with the same ending; on success sync it and rename it into place.

    The ending is kept because libraries choose a file's format by it. On any failure the temporary file is removed
    and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = "".join(path.suffixes[-2:])
    aside = path.with_name(f".{path.name.removesuffix(ending)[:200]}.{os.getpid()}.tmp{ending}")
    try:
        yield aside
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        while_held(lambda: aside.replace(path))
    finally:
        aside.unlink(missing_ok=True)


def while_held(action: Callable[[], Result], seconds: float = 2.0) -> Result:
    """Do ``action``; on Windows again and again while another process holds the file open for a moment."""
    end = time.monotonic() + (seconds if sys.platform == "win32" else 0.0)
    while True:
        try:
            return action()
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)


def is_disk_full(error: BaseException) -> bool:
    """The disk itself, or the user's quota of it."""
    return getattr(error, "errno", None) in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def write_bytes_atomic(path: Path, content: bytes) -> None:
    with written_aside(path) as aside:
        aside.write_bytes(content)


def write_text_atomic(path: Path, text: str) -> None:
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, record: Any) -> None:
    write_text_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
