"""Asks for the folder of what is to be written; the last one of its kind is proposed."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

from VoxMMSDLib import settings


def choose_folder(title: str, key: str) -> Path | None:
    """The folder that the user chose, kept as the setting ``key``; None where none was chosen."""
    last = settings.read(key, str(Path.home()))
    chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, last)
    if not chosen:
        return None
    settings.write(key, str(chosen))
    return Path(chosen)
