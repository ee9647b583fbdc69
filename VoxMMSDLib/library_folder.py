"""The folder of the training library: one for both modules, kept in Slicer's settings."""

from __future__ import annotations

from voxmmsd.home import home
from VoxMMSDLib import settings

SETTING = "library"


def kept() -> str:
    """The folder that was chosen last, in whichever module."""
    return settings.read(SETTING, str(home() / "library"))


def keep(path: str) -> None:
    """Use the folder from now on, in both modules."""
    settings.write(SETTING, path)
