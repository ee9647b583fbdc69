"""The files that hold the voxels of a MetaImage or NRRD header which lies apart from them."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

_MAX_HEADER = 2**20  # bytes; headers that list thousands of slices take half of it
_NAMED = re.compile(r"(?:ElementDataFile\s*=|data ?file:)\s*(\S.*?)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"%\d*d")


def data_files(header: Path) -> list[Path]:
    """The files that a header names, in the order in which it names them; none where the voxels follow it.

    A pattern of numbers stands for all files of the folder that fit it, in order of name.

    Raises:
        OSError: the header or its folder cannot be read.
    """
    with header.open("rb") as stream:
        lines = stream.read(_MAX_HEADER).decode("latin-1").splitlines()
    is_nrrd = bool(lines) and lines[0].startswith("NRRD")
    if is_nrrd:
        lines = list(takewhile(str.strip, lines))
    for number, line in enumerate(lines):
        if named := _NAMED.fullmatch(line):
            return _named_files(named[1], lines[number + 1 :], header.parent)
    return []


def _named_files(value: str, following: list[str], folder: Path) -> list[Path]:
    first = value.split(maxsplit=1)[0]
    if first.upper() == "LOCAL":
        return []
    if first.upper() == "LIST":
        return [folder / line.strip() for line in following if line.strip()]
    if _NUMBER.search(first):
        pattern = folder / first
        name = re.compile(r"\d+".join(re.escape(part) for part in _NUMBER.split(pattern.name)))
        return sorted(file for file in pattern.parent.iterdir() if name.fullmatch(file.name))
    return [folder / value]
