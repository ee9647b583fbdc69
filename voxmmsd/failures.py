"""What becomes of an exception: an error for the user, or a fault of ours. One bad case never stops the others."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from voxmmsd.errors import Canceled, VoxMMSDError
from voxmmsd.files import is_disk_full

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = re.compile(
    "bad.alloc|std::bad_alloc|failed to allocate|cannot allocate|can't start new thread|out of memory", re.IGNORECASE
)
_TO_TRAIN = ("torch", "monai", "onnx")


class Fault(VoxMMSDError):
    """A fault of ours (exit code 1)."""


def failure_of(error: Exception) -> VoxMMSDError:
    """Any exception as an error with a remedy: what the operating system denies is for the user to fix, all else that
    no room expected is a ``Fault``."""
    if isinstance(error, VoxMMSDError):
        return error
    if isinstance(error, OSError) and (denied := _of_system(error)):
        return denied
    if isinstance(error, ModuleNotFoundError) and error.name in _TO_TRAIN:
        return VoxMMSDError(
            f"{error.name} is not installed, and this verb needs it", "install it with pip install 'voxmmsd[train]'"
        )
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return VoxMMSDError(f"not enough memory ({error})", "process less at once, or use a machine with more memory")
    return Fault(f"internal fault: {type(error).__name__}: {error}", "run again with --debug and report what it says")


def _of_system(error: OSError) -> VoxMMSDError | None:
    if is_disk_full(error):
        return VoxMMSDError(f"the disk is full ({error})", "free disk space and call again")
    if error.errno in _DENIED and error.filename:
        return VoxMMSDError(f"{error.filename}: {error.strerror}", "check its permissions, or name another place")
    return _of_limits(error)


def _of_limits(error: OSError) -> VoxMMSDError | None:
    if "No usable temporary directory" in str(error):
        return VoxMMSDError("no folder for temporary files is writable", "name one that is (TMPDIR=FOLDER)")
    if isinstance(error, FileNotFoundError) and not _stands_somewhere():
        return VoxMMSDError("the current folder no longer exists", "change to an existing folder (cd)")
    if error.errno == errno.EFBIG:
        return VoxMMSDError("a file would grow beyond what the system allows", "raise the limit (ulimit -f)")
    if error.errno in _TOO_MANY_FILES:
        return VoxMMSDError("the system lets this process open no more files", "raise the limit (ulimit -n 1024)")
    return None


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def failure_of_case(error: Exception) -> VoxMMSDError:
    """As ``failure_of``, for the place where many cases are gone through; raises what would fail in every other case
    too: the user's wish to stop, and a full disk."""
    if isinstance(error, Canceled) or is_disk_full(error):
        raise error
    return failure_of(error)
