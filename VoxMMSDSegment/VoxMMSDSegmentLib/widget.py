"""The panel."""

from __future__ import annotations

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from VoxMMSDLib.reload import forget_packages
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic


class VoxMMSDSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Shows what there is and hands every action to the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.moduleName = "VoxMMSDSegment"
        self.logic = None
        self.ui = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/VoxMMSDSegment.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = VoxMMSDSegmentLogic()

    def cleanup(self):
        self.removeObservers()

    def onReload(self):
        forget_packages()
        ScriptedLoadableModuleWidget.onReload(self)
