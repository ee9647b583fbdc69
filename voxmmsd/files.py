"""Writing whole files or none: aside, synced, renamed. Reading JSON that anybody may have written. Locks."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from voxmmsd.errors import VoxMMSDError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Result = TypeVar("Result")
MAX_JSON_BYTES = 1 << 28  # 256 MiB: beyond any record, list of cases or splits
FOLDER_SECONDS = 10.0  # Windows renames no folder of which a file is open, and scans what was just written
_NO_ROOM = 1 << 20  # bytes that are left on a disk that is full


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, with the same ending; on success sync it and rename it into place.

    The ending is kept because libraries choose a file's format by it. On any failure the temporary file is removed
    and ``path`` stays as it was.

    Raises:
        OSError: what the system denied; ENOSPC on a full disk, whatever a library makes of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = "".join(path.suffixes[-2:])
    aside = path.with_name(f".{path.name.removesuffix(ending)[:200]}.{os.getpid()}.tmp{ending}")
    try:
        with _full_disk_as_such(path):
            yield aside
            with aside.open("rb+") as stream:
                os.fsync(stream.fileno())
            retry_while_locked(lambda: aside.replace(path))
    finally:
        with suppress(PermissionError):  # lost meanwhile: the error under way says so, the hidden file is never read
            aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(folder: Path, mark: str = "") -> Iterator[Path]:
    """As ``written_aside``, for a folder that is not there yet, or empty: gives a new one beside it.

    ``mark``: tells writers apart where several may be at it at once; without one a killed writer's remains are cleared.

    Raises:
        OSError: as ``written_aside``; EEXIST or ENOTEMPTY where another process was first.
    """
    aside = folder.with_name(f".{folder.name}{mark}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with _full_disk_as_such(folder):
            yield aside
            if folder.is_dir():
                folder.rmdir()
            retry_while_locked(lambda: aside.rename(folder), FOLDER_SECONDS)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder but for hidden and compiled files; the first fault ends it, as the OSError that it is."""
    target.mkdir()
    for item in sorted(source.iterdir()):
        if item.name.startswith(".") or item.name == "__pycache__":
            continue
        if item.is_dir():
            copy_folder(item, target / item.name)
        else:
            shutil.copyfile(item, target / item.name)


@contextmanager
def _full_disk_as_such(path: Path) -> Iterator[None]:
    """Libraries that write in C or Rust say of a full disk that fewer bytes were written, or that a stream failed."""
    try:
        yield
    except Exception as error:
        says_why = isinstance(error, VoxMMSDError) or getattr(error, "errno", None) is not None
        if says_why or shutil.disk_usage(path.parent).free > _NO_ROOM:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def retry_while_locked(action: Callable[[], Result], seconds: float = 2.0) -> Result:
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


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: no regular file, too large, no UTF-8, no JSON, or nested too deeply.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > MAX_JSON_BYTES:
        raise ValueError(f"its {status.st_size:,} bytes are more than any such file has")
    return parse_json(path.read_text(encoding="utf-8-sig"))


def parse_json(text: str) -> Any:
    """As ``json.loads``, but nesting beyond the parser's depth is a ValueError like all else that is no JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # what ``try_lock`` fails with where another one has the lock


def try_lock(file: IO[str]) -> None:
    """Lock an open file until it is closed or the process ends; OSError where that cannot be."""
    if sys.platform == "win32":
        # A byte far behind the text: a locked one cannot be read by others there.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def without_nan(value: Any) -> Any:
    """Plain values for JSON, which has no NaN: not-a-number and infinity are None, tuples are lists."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
