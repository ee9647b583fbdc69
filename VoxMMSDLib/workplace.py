"""A job's own folder for the images of a patient: it goes with the job, however that ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import slicer

_PREFIX = "voxmmsd-"


def new_workplace() -> Path:
    """An empty folder in Slicer's temporary folder; those of jobs whose Slicer was killed are removed."""
    clear_what_was_left()
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=slicer.app.temporaryPath))


def scratch_in(workplace: Path) -> dict[str, str]:
    """Environment of a child that puts what it writes aside, and the programs it calls, into the folder."""
    place = workplace / "scratch"
    place.mkdir(exist_ok=True)
    return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place))


def remove(workplace: Path) -> None:
    shutil.rmtree(workplace, ignore_errors=True)


def clear_what_was_left() -> None:
    """Remove folders and files of jobs whose Slicer was killed."""
    import psutil

    for folder in Path(slicer.app.temporaryPath).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            if folder.is_dir():
                remove(folder)
            else:
                folder.unlink(missing_ok=True)
