"""What the module does, without its panel."""

from __future__ import annotations

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic


class VoxMMSDTrainLogic(ScriptedLoadableModuleLogic):
    """For scripts and for the panel alike."""
