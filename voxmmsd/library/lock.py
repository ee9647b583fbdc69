"""The lock for writing to a library, with clear errors if it cannot be written."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxmmsd.errors import LibraryError
from voxmmsd.files import HELD, is_disk_full, try_lock

WAIT_SECONDS = 60.0
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lock of the library; remains of a killed writer are deleted first.

    Where the file system knows no locks (some network shares) writers still cannot overwrite each other, since every
    file is made under a name that did not exist; only then two who enter one new patient at once could disagree.

    Raises:
        LibraryError: another process holds it for a minute, the folder is read-only, or the disk is full.
    """
    try:
        with (folder / ".lock").open("a+", encoding="utf-8") as file:
            if _locked(file, folder):
                for left_by_a_kill in (folder / "cases").glob(".*.tmp"):
                    shutil.rmtree(left_by_a_kill)
            yield
    except OSError as error:
        if error.errno in _READ_ONLY:
            raise LibraryError(
                f"{folder}: cannot be written ({error.strerror})", "ask for write access to it, or work on a copy"
            ) from error
        if is_disk_full(error):
            raise LibraryError(
                f"{folder}: the disk is full", "free disk space and try again: existing files are intact"
            ) from error
        raise


def _locked(file: object, folder: Path) -> bool:
    """Wait for the lock; False where there are none."""
    end, pause = time.monotonic() + WAIT_SECONDS, 0.02
    while True:
        try:
            try_lock(file)  # type: ignore[arg-type]
            return True
        except OSError as error:
            if error.errno not in HELD:
                return False
            if time.monotonic() > end:
                raise LibraryError(
                    f"{folder}: another process has been writing for {WAIT_SECONDS:.0f} s", "try again when it is done"
                ) from error
        time.sleep(pause)
        pause = min(0.5, 2 * pause)
