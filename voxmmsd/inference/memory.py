"""Available memory, and the largest windows that it allows."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from voxmmsd.errors import ConfigError, MemoryBudgetError

MIN_SIDE = 32  # smaller windows see too little around them
_SHARE_OF_FREE = 0.8  # without a limit: other programs want to live too
_CASE_BYTES = 52  # per voxel of the reference: read as four modalities, looked at, labels brought back to it
_ROUND = 50 * 2**20
_UNITS = {"": 2**30, "K": 2**10, "M": 2**20, "G": 2**30}
_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def parse_bytes(text: str) -> int | None:
    """``4G``, ``800M``, ``1.5`` (GiB) in bytes; None for an empty text.

    Raises:
        ConfigError: it is not an amount of memory.
    """
    if not text.strip():
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise ConfigError(f"--memory {text}: is not an amount of memory", "write 4G or 800M")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def taken_bytes() -> int:
    """Memory used by this process."""
    return int(psutil.Process().memory_info().rss)


def release_freed_memory() -> None:
    """Freed memory that the C library keeps for later, back to the system; other systems than Linux need no telling."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def refuse_too_small(limit: int, before: int, shape_zyx: tuple[int, ...], map_bytes: int) -> None:
    """Raise MemoryBudgetError where a case takes more than ``limit`` whatever the windows are, naming what suffices.

    ``before``: bytes taken without a case; ``map_bytes``: per voxel, of maps beside the labels that are asked for.
    """
    needed = before + math.prod(shape_zyx) * (_CASE_BYTES + map_bytes)
    if needed > limit:
        sides = " x ".join(map(str, shape_zyx[::-1]))
        raise MemoryBudgetError(
            f"{limit / 2**20:.0f} MiB do not suffice to read and check {sides} voxels and to bring labels back, "
            "whatever is computed",
            f"allow at least --memory {-(-needed // _ROUND) * 50}M",
        )


def free_bytes(limit: int | None) -> int:
    """What this process may still take of the machine's memory; with a ``limit``, up to that in all."""
    free = int(_SHARE_OF_FREE * min(psutil.virtual_memory().available, _free_in_control_groups()))
    return free if limit is None else min(free, limit - taken_bytes())


def _free_in_control_groups() -> float:
    """Of the limits of containers, Slurm jobs and systemd units, which the machine's free memory knows nothing of.

    A limit may be that of the process's own control group or of any above it.
    """
    return min((_free_in(group, *names) for group, names in _control_groups()), default=math.inf)


def _control_groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The memory control groups of this process, and the names of what they tell.

    In a container the path is often that of the host, whose groups are not there; the topmost then is its own.
    """
    yield _CONTROL_GROUPS, _VERSION_2
    yield _CONTROL_GROUPS / "memory", _VERSION_1
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux, or hidden
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers == "":
            top, names = _CONTROL_GROUPS, _VERSION_2
        elif "memory" in controllers.split(","):
            top, names = _CONTROL_GROUPS / "memory", _VERSION_1
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        for group in (own, *own.parents[:-1]):
            yield top / group, names


def _free_in(group: Path, limit_name: str, used_name: str, files_name: str) -> float:
    """What the group takes includes files that were read and are kept in memory: the inactive ones give way at once."""
    try:
        limit = (group / limit_name).read_text(encoding="ascii").strip()
        used = int((group / used_name).read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        files = next((int(line.split()[1]) for line in lines if line.startswith(f"{files_name} ")), 0)
        return math.inf if limit == "max" else int(limit) - max(0, used - files)
    except (OSError, ValueError):  # a group without a limit of its own, or one that cannot be seen from here
        return math.inf


def windows_down(shape_zyx: tuple[int, ...], divisor: int) -> list[tuple[int, int, int]]:
    """Window sizes to try, the whole of ``shape_zyx`` first, then with the longest side halved again and again."""
    side = [multiple(length, divisor) for length in shape_zyx]
    smallest = multiple(MIN_SIDE, divisor)
    found = [(side[0], side[1], side[2])]
    while max(side) > smallest:
        longest = side.index(max(side))
        side[longest] = max(smallest, multiple(math.ceil(side[longest] / 2), divisor))
        found.append((side[0], side[1], side[2]))
    return found


def window_bytes(size_zyx: tuple[int, int, int], bytes_per_voxel: float, classes: int) -> int:
    """What computing one window takes: features, the image and logits in and out."""
    return int(math.prod(size_zyx) * (bytes_per_voxel + 4 * (4 + 2 * classes)))


def multiple(length: int, divisor: int) -> int:
    """The smallest multiple of ``divisor`` that is not below ``length``."""
    return -(-length // divisor) * divisor
