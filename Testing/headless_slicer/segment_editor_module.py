"""Slicer's module Segment Editor: which segmentation and which volume it takes when it is entered.

Modules/Scripted/SegmentEditor/SegmentEditor.py chooses the first segmentation of the scene where none was chosen
before, and its widget takes the volume of a segmentation's reference geometry for the source.
"""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtWidgets

from headless_slicer import application, mrml_widgets

NAME, TAG = "SegmentEditor", "SegmentEditor"


class SegmentEditorWidget:
    """Modules/Scripted/SegmentEditor/SegmentEditor.py: what ``slicer.modules.SegmentEditorWidget`` is."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = NAME
        self.parameterSetNode: Any = None
        self.editor = mrml_widgets.qMRMLSegmentEditorWidget()
        self.selectParameterNode()
        self.editor.setMRMLScene(slicer.mrmlScene)
        QtWidgets.QWidget.layout(parent).addWidget(self.editor)

    def selectParameterNode(self) -> None:
        node = slicer.mrmlScene.GetSingletonNode(TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(TAG)
            node = slicer.mrmlScene.AddNode(node)
        if node is not self.parameterSetNode:
            self.parameterSetNode = node
            self.editor.setMRMLSegmentEditorNode(node)

    def enter(self) -> None:
        self.editor.installKeyboardShortcuts()
        self.selectParameterNode()
        self.editor.updateWidgetFromMRML()
        if not self.editor.segmentationNodeID():
            found = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
            self.editor.setSegmentationNode(
                found or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
            )

    def exit(self) -> None:
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()


class SegmentEditorModule(application.Module):
    """The module's entry in ``slicer.modules``; its widget is made when it is first asked for."""

    def __init__(self) -> None:
        super().__init__(NAME)

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            frame = slicer.qSlicerScriptedLoadableModuleWidget()
            frame.setMRMLScene(slicer.mrmlScene)
            frame._widget = SegmentEditorWidget(frame)
            slicer.modules.SegmentEditorWidget = frame._widget
            self._widget = frame
        return self._widget
