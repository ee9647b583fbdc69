"""What belongs to this computer and not to a case: kept in Slicer's settings, so that no saved scene carries it."""

from __future__ import annotations

import qt
import slicer

PREFIX = "VoxMMSD/"


def read(key: str, default: str) -> str:
    """What was written; the default where that is nothing or empty."""
    return str(slicer.util.settingsValue(PREFIX + key, "")) or default


def read_bool(key: str, default: bool) -> bool:
    return slicer.util.settingsValue(PREFIX + key, default, converter=slicer.util.toBool)


def write(key: str, value: str | bool) -> None:
    qt.QSettings().setValue(PREFIX + key, str(value))
