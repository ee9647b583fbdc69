"""The folder of the training library: one for both modules, kept in Slicer's settings."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.home import home
from VoxMMSDLib import settings

SETTING = "library"


def kept() -> str:
    """The folder that was chosen last, in whichever module."""
    return settings.read(SETTING, str(home() / "library"))


def keep(path: str) -> bool:
    """Use the folder from now on, in both modules; False where ``path`` is none."""
    try:
        settings.write(SETTING, named(path).as_posix())
    except InputError:
        return False
    return True


def keep_if_there(path: str) -> bool:
    """The same while the path is being typed, when one that is not there may be half of another."""
    try:
        return named(path).is_dir() and keep(path)
    except (InputError, OSError):
        return False


def show_kept(field: Any) -> None:
    """Let a panel's field name the folder; one that names it already, in whatever spelling, stays as it is."""
    with suppress(InputError):
        if named(field.currentPath) == Path(kept()):
            return
    field.currentPath = kept()


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
