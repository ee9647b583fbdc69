"""Reload in developer mode: Slicer re-executes one module's top file only."""

from __future__ import annotations

import importlib
import sys

import slicer

MODULES = ("VoxMMSDSegment", "VoxMMSDTrain")
PACKAGES = ("VoxMMSDLib", "VoxMMSDSegmentLib", "VoxMMSDTrainLib", "voxmmsd")


def forget_packages() -> None:
    """Drop our packages from ``sys.modules``, so that a reloaded module imports them again."""
    for name in [name for name in list(sys.modules) if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


def renew_packages(but: str) -> None:
    """Import our packages again, and reload the modules that stand on them, all but the one that reloads itself.

    Two generations of the core in one process would not know each other's errors.
    """
    forget_packages()
    for name in MODULES:
        if name == but or name not in sys.modules:
            continue
        if hasattr(slicer.modules, f"{name}Widget"):
            slicer.util.reloadScriptedModule(name)
        else:
            importlib.reload(sys.modules[name])
