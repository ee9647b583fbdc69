"""Reload in developer mode: Slicer re-executes a module's top file only."""

from __future__ import annotations

import sys

PACKAGES = ("VoxMMSDLib", "VoxMMSDSegmentLib", "VoxMMSDTrainLib", "voxmmsd")


def forget_packages() -> None:
    """Drop our packages from ``sys.modules``, so that a reloaded module imports them anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
