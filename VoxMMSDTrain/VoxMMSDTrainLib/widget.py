"""The panel."""

from __future__ import annotations

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from VoxMMSDLib.reload import forget_packages
from VoxMMSDTrainLib.logic import VoxMMSDTrainLogic


class VoxMMSDTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Shows what there is and hands every action to the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.moduleName = "VoxMMSDTrain"
        self.logic = None
        self.ui = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/VoxMMSDTrain.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = VoxMMSDTrainLogic()

    def cleanup(self):
        self.removeObservers()

    def onReload(self):
        forget_packages()
        ScriptedLoadableModuleWidget.onReload(self)
