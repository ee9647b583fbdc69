"""The panel: two tabs, and the manners of a module (scene, reload, leaving, ending)."""

from __future__ import annotations

from functools import partial

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from voxmmsd.labels import MODALITIES
from VoxMMSDLib.reload import renew_packages
from VoxMMSDLib.segments import is_result
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.result import belonging, results
from VoxMMSDSegmentLib.review_tab import ReviewTab
from VoxMMSDSegmentLib.segment_tab import SegmentTab
from VoxMMSDSegmentLib.selectors import empty_when_deleted, leave_out_derived


class VoxMMSDSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Shows what there is and hands every action to the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.moduleName = "VoxMMSDSegment"
        self.logic = self.ui = self.parameters = None
        self.segment_tab = self.review_tab = None
        self._gui_tag = None
        self._orphans = []
        self._orphans_timer = qt.QTimer()
        self._orphans_timer.setSingleShot(True)
        self._orphans_timer.connect("timeout()", self._remove_orphans)
        self._look_timer = qt.QTimer()  # Slicer draws the new result first
        self._look_timer.setSingleShot(True)
        self._look_timer.connect("timeout()", self._look_at_result)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/VoxMMSDSegment.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        self._panel = panel
        for child in (panel, *slicer.util.findChildren(panel)):
            if hasattr(child, "setMRMLScene"):
                child.setMRMLScene(slicer.mrmlScene)
        empty_when_deleted((*self._inputs(), self.ui.resultSelector))
        self.logic = VoxMMSDSegmentLogic()
        self.segment_tab = SegmentTab(self.ui, self.logic, self._on_result)
        leave_out = partial(leave_out_derived, self._inputs())
        self.review_tab = ReviewTab(self.ui, self.logic, self.addObserver, self.removeObserver, leave_out)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self._on_node_going)
        self._follow(self.logic.getParameterNode())
        if getattr(self.parent, "isEntered", False):  # after a reload, Slicer does not enter again
            self.enter()

    def enter(self):
        if self.parameters is None:
            self._follow(self.logic.getParameterNode())
        leave_out_derived(self._inputs())
        self.segment_tab.enter()
        self.review_tab.enter()

    def exit(self):
        self.review_tab.exit()

    def cleanup(self):
        self._orphans_timer.stop()
        self._look_timer.stop()
        for tab in (self.segment_tab, self.review_tab):
            if tab is not None:  # where setup() failed half way, Slicer still cleans up
                tab.close()
        if self.segment_tab is not None:
            self._follow(None)
        self.removeObservers()

    def onReload(self):
        renew_packages(self.moduleName)
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self._orphans = []
        self._look_timer.stop()
        self.segment_tab.close()
        self.review_tab.forget_scene()
        self._follow(None)

    def onSceneEndClose(self, caller, event):
        self._follow(self.logic.getParameterNode())

    def _follow(self, parameters):
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui_tag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_modified)
        self.parameters = parameters
        self.segment_tab.show(parameters)
        if parameters is not None:
            leave_out_derived(self._inputs())
            self._gui_tag = parameters.connectGui(self._panel)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._on_modified)
            self._on_modified()

    def _on_modified(self, *_):
        self.segment_tab.on_parameters_modified()
        self.review_tab.show(self.parameters.result)

    def _inputs(self):
        ui = self.ui
        return (*(getattr(ui, f"{key}Selector") for key in MODALITIES), ui.brainMaskSelector)

    def _on_result(self, node):
        leave_out_derived(self._inputs())
        self.parameters.result = node
        self._look_timer.start()

    def _look_at_result(self):
        if self.parameters is not None and self.parameters.result is not None:
            self.review_tab.first_look()
            self.ui.tabs.setCurrentWidget(self.ui.reviewTab)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_going(self, caller, event, node):
        """A result that is deleted takes along what was made for it; not while the scene closes, which takes all."""
        if is_result(node) and not slicer.mrmlScene.IsClosing():
            self._orphans += [one.GetID() for one in belonging(node)]
            self._orphans_timer.start()

    def _remove_orphans(self):
        orphans, self._orphans = self._orphans, []
        kept = {one.GetID() for result in results() for one in belonging(result)}
        for node_id in orphans:
            node = slicer.mrmlScene.GetNodeByID(node_id)
            if node is not None and node_id not in kept:
                remove_whole(node)
        self.logic.case_folders.sweep()
        leave_out_derived(self._inputs())  # by ids, which other nodes may get
