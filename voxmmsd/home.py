"""Location of the models and runs of this user."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """``$VOXMMSD_HOME``, else the platform's folder for a program's data."""
    if given := os.environ.get("VOXMMSD_HOME"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "VoxMMSD"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "VoxMMSD"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "voxmmsd"
