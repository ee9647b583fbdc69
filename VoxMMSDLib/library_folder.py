"""The folder of the training library: one for both modules, kept in Slicer's settings."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.home import home
from VoxMMSDLib import settings

SETTING = "library"


def kept() -> str:
    """The folder that was chosen last, in whichever module."""
    return settings.read(SETTING, str(home() / "library"))


def keep(path: str) -> bool:
    """Use the folder from now on, in both modules; False where ``path`` is none, as while it is being typed."""
    try:
        settings.write(SETTING, str(named(path)))
    except InputError:
        return False
    return True


def named(path: str) -> Path:
    """The folder that a panel's field names. Patients' images must not land wherever Slicer was started.

    Raises:
        InputError: it is empty, or not the whole path.
    """
    if not path.strip():
        raise InputError(_("No library is chosen"), _("choose its folder first"))
    folder = Path(path.strip())
    with suppress(RuntimeError):  # of ~somebody, whom this computer does not know
        folder = folder.expanduser()
    if not folder.is_absolute():
        problem = _("{path}: is not a full path").format(path=path)
        raise InputError(problem, _("choose the library with the button beside it"))
    return folder
