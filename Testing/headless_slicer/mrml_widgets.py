"""Stand-ins for Slicer's MRML widgets: real MRML behind plain Qt, no more than the members of Slicer's headers."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from headless_slicer.pythonqt import as_pythonqt, declared

Q = QtWidgets


class _WithScene:
    """Follows the nodes of a scene; ``_refresh`` is called when they change."""

    _scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for tag in self.__dict__.pop("_scene_tags", ()):
            self._scene.RemoveObserver(tag)
        self._scene = scene
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndBatchProcessEvent)
            self._scene_tags = [scene.AddObserver(event, partial(self._when, event)) for event in events]
        self._refresh()

    def _when(self, event: int, _caller: Any, _name: str) -> None:
        if _alive(self) and (not self._scene.IsBatchProcessing() or event == self._scene.EndBatchProcessEvent):
            self._on_scene_event(event)

    def _on_scene_event(self, _event: int) -> None:
        self._refresh()

    def _refresh(self) -> None:
        """To be overridden."""


def _alive(widget: Any) -> bool:
    import shiboken6

    return shiboken6.isValid(widget)


class qMRMLWidget(_WithScene, declared("qMRMLWidget", Q.QWidget)):
    """Libs/MRML/Widgets/qMRMLWidget.h."""

    _stands_for = "qMRMLWidget"


class qMRMLSortFilterProxyModel(declared("qMRMLSortFilterProxyModel", QtCore.QObject)):
    """Libs/MRML/Widgets/qMRMLSortFilterProxyModel.h: only the nodes that a selector is told to leave out."""

    _stands_for = "qMRMLSortFilterProxyModel"
    _selector: Any = None

    def _on_property(self, name: str) -> None:
        if name != "hiddenNodeIDs":
            raise NotImplementedError(f"the host's selectors filter by hiddenNodeIDs only, not by {name}")
        if self._selector is not None:
            self._selector._filter()


class qMRMLNodeComboBox(
    _WithScene,
    declared(
        "qMRMLNodeComboBox",
        Q.QWidget,
        {
            "addEnabled": True,
            "removeEnabled": True,
            "selectNodeUponCreation": True,
            "noneDisplay": "None",
            "showChildNodeTypes": True,
        },
    ),
):
    """Libs/MRML/Widgets/qMRMLNodeComboBox.h: the nodes of some types; what is current is a node of the scene.

    As in Slicer, Qt's combo box chooses the neighboring row when the current node goes, and a node that is hidden
    after it was added stays in the list until the list is filtered again.
    """

    _stands_for = "qMRMLNodeComboBox"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox()
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setMinimumContentsLength(8)
        layout.addWidget(self._combo)
        self._ids: list[str] = []
        self._current = ""
        self._attributes: list[tuple[str, str, Any]] = []
        self._removal_tag: int | None = None
        self._model = qMRMLSortFilterProxyModel()
        self._model._selector = self
        self._combo.currentIndexChanged.connect(self._chosen)

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        if self._removal_tag is not None:
            self._scene.RemoveObserver(self._removal_tag)
        self._removal_tag = None
        super().setMRMLScene(scene)
        if scene is not None:
            self._removal_tag = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._when_nodes_go())

    def _when_nodes_go(self) -> Any:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_going(_caller: Any, _event: str, node: Any) -> None:
            if _alive(self) and node is not None and not self._scene.IsBatchProcessing():
                self._take_out(node)

        return on_going

    def _take_out(self, node: Any) -> None:
        if node.GetID() in self._ids:
            type(self).nodeAboutToBeRemoved.__get__(self).emit(node)
            self._remove_row(self._ids.index(node.GetID()))

    def _remove_row(self, row: int) -> None:
        del self._ids[row]
        self._combo.removeItem(row)  # Qt chooses the row beside it, where it was the current one

    def _on_scene_event(self, event: int) -> None:
        if event == self._scene.NodeAddedEvent:
            self._add_rows()
        elif event != self._scene.NodeRemovedEvent:
            self._refresh()

    def _on_property(self, name: str) -> None:
        if name in ("nodeTypes", "showHidden", "showChildNodeTypes", "hideChildNodeTypes"):
            self._filter()
        elif name in ("noneEnabled", "noneDisplay"):
            self._refresh()
        elif name in ("currentNodeID", "currentNodeId"):
            self._select(self.__dict__["_kept"].pop(name) or "")

    def sortFilterProxyModel(self) -> Any:
        return self._model

    def _types(self) -> tuple[str, ...]:
        return tuple(self.nodeTypes or ())

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        found: list[Any] = []
        for type_name in self._types():
            nodes = self._scene.GetNodesByClass(type_name)
            nodes.UnRegister(None)
            found += [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]
        return [node for node in dict.fromkeys(found) if self._shows(node)]

    def _shows(self, node: Any) -> bool:
        if node.GetID() in (self._model.hiddenNodeIDs or ()):
            return False
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if not self.showChildNodeTypes and node.GetClassName() not in self._types():
            return False
        if node.GetClassName() in (self.hideChildNodeTypes or ()):
            return False
        return all(_has_attribute(node, name, value) for kind, name, value in self._attributes if node.IsA(kind))

    def _refresh(self) -> None:
        """The scene was closed, or is another one: where the current node is gone, none is current."""
        nodes = self._nodes()
        self._combo.blockSignals(True)
        self._combo.clear()
        self._ids = ([""] if self.noneEnabled else []) + [node.GetID() for node in nodes]
        self._combo.addItems(
            ([self.noneDisplay or "None"] if self.noneEnabled else []) + [n.GetName() or "" for n in nodes]
        )
        self._combo.blockSignals(False)
        wanted = self._current if self._current in self._ids else (self._ids[0] if self._ids else "")
        self._combo.setCurrentIndex(self._ids.index(wanted) if wanted in self._ids else -1)
        self._set_current(wanted)

    def _filter(self) -> None:
        """The rule changed by which nodes are listed: rows go one by one, and others come."""
        wanted = {node.GetID() for node in self._nodes()}
        for node_id in [node_id for node_id in self._ids if node_id and node_id not in wanted]:
            self._remove_row(self._ids.index(node_id))
        self._add_rows()

    def _add_rows(self) -> None:
        if self._attributes:  # as in Slicer, which then filters again whenever a node changes
            wanted = {node.GetID() for node in self._nodes()}
            for node_id in [node_id for node_id in self._ids if node_id and node_id not in wanted]:
                self._remove_row(self._ids.index(node_id))
        for node in self._nodes():
            if node.GetID() not in self._ids:
                self._ids.append(node.GetID())
                self._combo.addItem(node.GetName() or "")
        for row, node_id in enumerate(self._ids):
            if node_id:
                self._combo.setItemText(row, self._scene.GetNodeByID(node_id).GetName() or "")

    def _chosen(self, index: int) -> None:
        self._set_current(self._ids[index] if 0 <= index < len(self._ids) else "")

    def _set_current(self, node_id: str) -> None:
        if node_id == self._current:
            return
        self._current = node_id
        type(self).currentNodeChanged.__get__(self).emit(self.currentNode())
        type(self).currentNodeIDChanged.__get__(self).emit(node_id)

    def _select(self, node_id: str) -> None:
        if node_id and node_id not in self._ids:
            self._add_rows()
        if node_id not in self._ids and self._ids and not (node_id == "" and not self.noneEnabled):
            node_id = "" if self.noneEnabled else self._current
        self._combo.blockSignals(True)
        self._combo.setCurrentIndex(self._ids.index(node_id) if node_id in self._ids else -1)
        self._combo.blockSignals(False)
        self._set_current(node_id)

    def __getattribute__(self, name: str) -> Any:
        if name in ("currentNodeID", "currentNodeId"):
            return self._current
        return super().__getattribute__(name)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self._select((node if isinstance(node, str) else node.GetID()) if node else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        self._select(node_id or "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self._combo.setCurrentIndex(index + bool(self.noneEnabled))

    def nodeCount(self) -> int:
        return len([node_id for node_id in self._ids if node_id])

    def nodeFromIndex(self, index: int) -> Any:
        return self._scene.GetNodeByID([node_id for node_id in self._ids if node_id][index])

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.append((node_type, name, value))
        self._filter()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [item for item in self._attributes if item[:2] != (node_type, name)]
        self._filter()

    def addNode(self, node_type: str = "") -> Any:
        node = self._scene.AddNewNodeByClass(node_type or self._types()[0], self.baseName or "")
        self.setCurrentNode(node)
        type(self).nodeAddedByUser.__get__(self).emit(node)
        return node


def _has_attribute(node: Any, name: str, value: Any) -> bool:
    found = node.GetAttribute(name)
    return found is not None and (value is None or found == str(value))


class _SegmentList(QtWidgets.QTableWidget):
    """Rows of colored segments, for both stand-ins below."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["", "", "Name"])
        self.verticalHeader().hide()
        self.horizontalHeader().setStretchLastSection(True)
        self.setColumnWidth(0, 26)
        self.setColumnWidth(1, 26)
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)

    def show_segments(self, node: Any) -> list[str]:
        segmentation = node.GetSegmentation() if node else None
        ids = list(segmentation.GetSegmentIDs()) if segmentation else []
        self.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = segmentation.GetSegment(segment_id)
            display = node.GetDisplayNode()
            shown = display is None or display.GetSegmentVisibility(segment_id)
            items = [QtWidgets.QTableWidgetItem(text) for text in ("●" if shown else "○", "", segment.GetName())]
            items[1].setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            for column, item in enumerate(items):
                self.setItem(row, column, item)
        return ids


_TERMS_SETTING = {"useTerminologySelectorSettingsKey": "Segmentations/UseTerminologySelector"}


class qMRMLSegmentsTableView(
    declared(
        "qMRMLSegmentsTableView",
        qMRMLWidget,
        {**_TERMS_SETTING, "useTerminologySelector": True, "terminologySelectorOptionVisible": True},
    ),
):
    """Modules/Loadable/Segmentations/Widgets/qMRMLSegmentsTableView.h: the list of terms is used by a setting."""

    _stands_for = "qMRMLSegmentsTableView"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._list = _SegmentList()
        layout.addWidget(self._list)
        self._node: Any = None
        self._tag = None
        self._segment_ids: list[str] = []

    def _on_property(self, name: str) -> None:
        if name in _TERMS_SETTING:
            self.useTerminologySelector = bool(self.useTerminologySelectorSettingsKey)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if self._node is not None and self._tag is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show()) if node else None
        self._show()

    def _show(self) -> None:
        if _alive(self):
            self._segment_ids = self._list.show_segments(self._node)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._segment_ids[index.row()] for index in self._list.selectionModel().selectedRows())

    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        self._list.clearSelection()
        for segment_id in segment_ids:
            self._list.selectRow(self._segment_ids.index(segment_id))

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._segment_ids)


class qMRMLSegmentationShow3DButton(declared("qMRMLSegmentationShow3DButton", Q.QPushButton)):
    """Modules/Loadable/Segmentations/Widgets/qMRMLSegmentationShow3DButton.h."""

    _stands_for = "qMRMLSegmentationShow3DButton"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.text = "Show 3D"
        self.checkable = True
        self._node: Any = None
        QtWidgets.QAbstractButton.toggled.__get__(self).connect(self._show)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node

    def _show(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()


class qMRMLSegmentEditorWidget(
    declared(
        "qMRMLSegmentEditorWidget",
        qMRMLWidget,
        {
            "segmentationNodeSelectorVisible": True,
            "sourceVolumeNodeSelectorVisible": True,
            "switchToSegmentationsButtonVisible": True,
            "undoEnabled": True,
            "maximumNumberOfUndoStates": 10,
            "unorderedEffectsVisible": True,
            "addRemoveSegmentButtonsVisible": True,
            "show3DButtonVisible": True,
            "autoShowSourceVolumeNode": True,
        },
    ),
):
    """Modules/Loadable/Segmentations/Widgets/qMRMLSegmentEditorWidget.h: its node, effects by name and real undo.

    Another segmentation brings its reference volume as the source, and empties the label layer of all slice views;
    another source goes into them. Of a segmentation that it is given while the scene is in a batch, as while it is
    imported, its own list has no row, and at the end of the batch it takes what that list has chosen.
    """

    _stands_for = "qMRMLSegmentEditorWidget"
    _EFFECTS = (
        "Threshold",
        "Paint",
        "Draw",
        "Erase",
        "Level tracing",
        "Grow from seeds",
        "Margin",
        "Hollow",
        "Smoothing",
        "Scissors",
        "Islands",
        "Logical operators",
        "Mask volume",
        "Fill between slices",
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QtWidgets.QHBoxLayout()
        buttons = [QtWidgets.QPushButton(text) for text in ("+ Add", "− Remove", "Show 3D")]
        for button in buttons:
            row.addWidget(button)
        self._show3D = buttons[-1]
        self._list = qMRMLSegmentsTableView()
        self._list.setObjectName("SegmentsTableView")
        self._grid = QtWidgets.QGridLayout()
        self._options = QtWidgets.QFrame()
        self._options.setObjectName("OptionsFrame")
        self._list.setMinimumHeight(_HEIGHT_OF_SEGMENTS)
        layout.addLayout(row)
        layout.addWidget(self._list)
        layout.addLayout(self._grid)
        layout.addWidget(self._options)
        self._editor: Any = None
        self._tag = None
        self._followed: Any = None
        self._source: Any = None
        self._effect: Any = None
        self._order: list[str] = []
        self._history = slicer.vtkSegmentationHistory()
        self._shortcuts = False
        self._listed: Any = None
        self._in_batch = False
        scene = slicer.mrmlScene
        for event in (scene.StartBatchProcessEvent, scene.EndBatchProcessEvent):
            scene.AddObserver(event, self._on_batch)
        self.setEffectNameOrder(())

    def _on_batch(self, scene: Any, event: str) -> None:
        if not _alive(self):
            return
        self._in_batch = event == "StartBatchProcessEvent"
        if self._in_batch or self._editor is None:
            return
        if self._listed is not None and not scene.IsNodePresent(self._listed):
            self._listed = None
        if self.segmentationNode() is not self._listed:
            self._editor.SetAndObserveSegmentationNode(self._listed)
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editor

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if self._editor is not None and self._tag is not None:
            self._editor.RemoveObserver(self._tag)
        self._editor = node
        self._tag = (
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.updateWidgetFromMRML()) if node else None
        )
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        if not _alive(self) or self._in_batch:
            return
        node = self._listed = self.segmentationNode()
        self._history.SetSegmentation(node.GetSegmentation() if node else None)
        self._list.setSegmentationNode(node)
        if self._editor is not None and node is not self._followed:
            self._followed = node
            self._take_reference()
        if node is not None and self.sourceVolumeNode() is not self._source:
            self._source = self.sourceVolumeNode()
            if self._source is not None and self.autoShowSourceVolumeNode:
                self.showSourceVolumeInSliceViewers()

    def _take_reference(self) -> None:
        if self._followed is not None:
            role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
            self._editor.SetAndObserveSourceVolumeNode(self._followed.GetNodeReference(role))
            for composite in self._composites():
                composite.SetLabelVolumeID(None)

    def _composites(self) -> list[Any]:
        """Of the slice views in which the segmentation may be seen."""
        display = self.segmentationNode().GetDisplayNode()
        views = [
            view
            for view in slicer.util.getNodesByClass("vtkMRMLSliceNode")
            if display is not None and display.IsDisplayableInView(view.GetID())
        ]
        found = [slicer.mrmlScene.GetSingletonNode(view.GetLayoutName(), "vtkMRMLSliceCompositeNode") for view in views]
        return [composite for composite in found if composite is not None]

    def showSourceVolumeInSliceViewers(self, in_background: bool = False, _fit: bool = False) -> None:
        """Into the background of each view in which the segmentation may be seen and the source is not shown yet."""
        source = self.sourceVolumeNode()
        for composite in self._composites() if source is not None else ():
            shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            if in_background or source.GetID() not in shown:
                composite.SetBackgroundVolumeID(source.GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)

    def segmentationNode(self) -> Any:
        return self._editor.GetSegmentationNode() if self._editor else None

    def segmentationNodeID(self) -> str:
        return self.segmentationNode().GetID() if self.segmentationNode() else ""

    def setSegmentationNode(self, node: Any) -> None:
        self._needs_editor().SetAndObserveSegmentationNode(node)

    def sourceVolumeNode(self) -> Any:
        return self._editor.GetSourceVolumeNode() if self._editor else None

    def setSourceVolumeNode(self, node: Any) -> None:
        self._needs_editor().SetAndObserveSourceVolumeNode(node)

    def currentSegmentID(self) -> str:
        return (self._editor.GetSelectedSegmentID() if self._editor else "") or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._needs_editor().SetSelectedSegmentID(segment_id)

    def _needs_editor(self) -> Any:
        if self._editor is None:
            raise RuntimeError("real Slicer logs 'Invalid segment editor parameter set node' and ignores this call")
        return self._editor

    def availableEffectNames(self) -> tuple[str, ...]:
        return self._EFFECTS

    def setEffectNameOrder(self, names: Any) -> None:
        self._order = list(names)
        while self._grid.count():
            self._grid.takeAt(0).widget().deleteLater()
        shown = [
            *self._order,
            *(name for name in self._EFFECTS if self.unorderedEffectsVisible and name not in self._order),
        ]
        for number, name in enumerate(shown):
            button = QtWidgets.QToolButton()
            button.setText(name)
            button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
            self._grid.addWidget(button, number // 4, number % 4)

    def effectNameOrder(self) -> tuple[str, ...]:
        return tuple(self._order)

    def _on_property(self, name: str) -> None:
        if name == "show3DButtonVisible":
            self._show3D.setVisible(self.show3DButtonVisible)
        elif name == "unorderedEffectsVisible" and "_grid" in self.__dict__:
            self.setEffectNameOrder(self._order)

    def setActiveEffectByName(self, name: str) -> None:
        if name and slicer.app.layoutManager() is None:
            raise RuntimeError("without a main window Slicer crashes as soon as an effect is active")
        self._effect = name or None
        self._options.setMinimumHeight(_HEIGHT_OF_OPTIONS.get(name, 57) if name else 0)
        self._options.setMinimumWidth(_WIDTH_OF_OPTIONS if name else 0)
        if self._editor:
            self._editor.SetActiveEffectName(name or "")

    def setActiveEffect(self, effect: Any) -> None:
        self.setActiveEffectByName(effect or "")

    def activeEffect(self) -> Any:
        return self._effect

    def saveStateForUndo(self) -> None:
        self._history.SetMaximumNumberOfStates(self.maximumNumberOfUndoStates)
        self._history.SaveState()

    def undo(self) -> None:
        self._history.RestorePreviousState()

    def redo(self) -> None:
        self._history.RestoreNextState()

    def installKeyboardShortcuts(self, _parent: Any = None) -> None:
        self._shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts = False

    def setupViewObservations(self) -> None:
        """The host has no interactive views."""

    def removeViewObservations(self) -> None:
        """The host has no interactive views."""

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self.segmentationNodeSelectorVisible = visible

    def setSourceVolumeNodeSelectorVisible(self, visible: bool) -> None:
        self.sourceVolumeNodeSelectorVisible = visible

    def setSwitchToSegmentationsButtonVisible(self, visible: bool) -> None:
        self.switchToSegmentationsButtonVisible = visible

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self.maximumNumberOfUndoStates = number


# As measured in Slicer, in pixels.
_HEIGHT_OF_SEGMENTS, _WIDTH_OF_OPTIONS = 230, 480
_HEIGHT_OF_OPTIONS = {"Paint": 72, "Threshold": 205, "Smoothing": 158, "Grow from seeds": 121}


class qSlicerWidget(_WithScene, declared("qSlicerWidget", Q.QWidget)):
    """Base/QTGUI/qSlicerWidget.h."""

    _stands_for = "qSlicerWidget"


class qSlicerScriptedLoadableModuleWidget(declared("qSlicerScriptedLoadableModuleWidget", qSlicerWidget)):
    """Base/QTGUI/qSlicerScriptedLoadableModuleWidget.h: the panel's frame, ``parent`` to the Python widget."""

    _stands_for = "qSlicerScriptedLoadableModuleWidget"
    _source = ""  # name of the module
    _widget: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        QtWidgets.QVBoxLayout(self)

    def self(self) -> Any:
        return self._widget

    def reload(self) -> None:
        """As Slicer's: a new widget of the class as it is now, set up; ``enter`` is not called."""
        self._widget = getattr(sys.modules[self._source], f"{self._source}Widget")(self)
        self._widget.setup()
        setattr(slicer.modules, f"{self._source}Widget", self._widget)

    def enter(self) -> None:
        self.__dict__.setdefault("_kept", {})["isEntered"] = True
        self._widget.enter()

    def exit(self) -> None:
        self.__dict__.setdefault("_kept", {})["isEntered"] = False
        self._widget.exit()


class qSlicerSimpleMarkupsWidget(
    declared(
        "qSlicerSimpleMarkupsWidget",
        qSlicerWidget,
        {"jumpToSliceEnabled": False, "nodeSelectorVisible": True, "optionsVisible": True},
    ),
):
    """Modules/Loadable/Markups/Widgets/qSlicerSimpleMarkupsWidget.h: selecting a row jumps there."""

    _stands_for = "qSlicerSimpleMarkupsWidget"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._table = as_pythonqt(QtWidgets.QTableWidget)(0, 4)
        QtWidgets.QTableWidget.setHorizontalHeaderLabels(self._table, ["Label", "R", "A", "S"])
        QtWidgets.QTableWidget.horizontalHeader(self._table).setSectionResizeMode(
            0, QtWidgets.QHeaderView.ResizeMode.Stretch
        )
        QtWidgets.QTableWidget.verticalHeader(self._table).hide()
        for column in (1, 2, 3):
            QtWidgets.QTableWidget.setColumnWidth(self._table, column, 44)
        QtWidgets.QTableWidget.setSelectionBehavior(
            self._table, QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows
        )
        layout.addWidget(self._table)
        QtWidgets.QTableWidget.itemSelectionChanged.__get__(self._table).connect(self._selected)
        self._node: Any = None
        self._tags: list[int] = []

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node = node
        events = (node.PointAddedEvent, node.PointRemovedEvent, node.PointModifiedEvent) if node else ()
        self._tags = [node.AddObserver(event, lambda *_: self._refresh()) for event in events]
        self._refresh()
        type(self).markupsNodeChanged.__get__(self).emit()

    def tableWidget(self) -> Any:
        return self._table

    def _refresh(self) -> None:
        if not _alive(self):
            return
        count = self._node.GetNumberOfControlPoints() if self._node else 0
        table = self._table
        QtWidgets.QTableWidget.setRowCount(table, count)
        for row in range(count):
            place = self._node.GetNthControlPointPositionWorld(row)
            texts = (self._node.GetNthControlPointLabel(row), *(f"{value:.0f}" for value in place))
            for column, text in enumerate(texts):
                QtWidgets.QTableWidget.setItem(table, row, column, QtWidgets.QTableWidgetItem(text))

    def _selected(self) -> None:
        rows = QtWidgets.QTableWidget.selectionModel(self._table).selectedRows()
        if not rows or self._node is None:
            return
        if self.jumpToSliceEnabled:
            slicer.vtkSlicerMarkupsLogic.JumpSlicesToNthPointInMarkup.__get__(slicer.modules.markups.logic())(
                self._node.GetID(), rows[0].row(), False
            )
        type(self).currentMarkupsControlPointSelectionChanged.__get__(self).emit(rows[0].row())


class qMRMLTableView(_WithScene, declared("qMRMLTableView", Q.QTableView)):
    """Libs/MRML/Widgets/qMRMLTableView.h: a table node's cells."""

    _stands_for = "qMRMLTableView"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._model = QtGui.QStandardItemModel()
        QtWidgets.QTableView.setModel(self, self._model)
        self._node: Any = None
        self._tag = None

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        if self._node is not None and self._tag is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._fill()) if node else None
        self._fill()

    def _fill(self) -> None:
        if not _alive(self):
            return
        self._model.clear()
        if self._node is None:
            return
        header = bool(self._node.GetUseColumnTitleAsColumnHeader())
        if header:
            titles = [
                self._node.GetColumnTitle(self._node.GetColumnName(i)) or self._node.GetColumnName(i)
                for i in range(self._node.GetNumberOfColumns())
            ]
            self._model.setHorizontalHeaderLabels(titles)
        for row in range(self._node.GetNumberOfRows()):
            cells = [self._node.GetCellText(row, column) for column in range(self._node.GetNumberOfColumns())]
            self._model.appendRow([QtGui.QStandardItem(text) for text in cells])


class qMRMLPlotView(_WithScene, declared("qMRMLPlotView", Q.QWidget)):
    """Libs/MRML/Widgets/qMRMLPlotView.h: a chart node's plots, drawn as polylines; white whatever the palette is.

    Black until it has something to draw, as a render window is; a line through one point gets VTK's warning,
    whatever its style.
    """

    _stands_for = "qMRMLPlotView"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._view_node: Any = None

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view_node = node
        if node is not None:
            node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _alive(self) and QtWidgets.QWidget.update(self))

    def fitToContent(self) -> None:
        for series in self._series():
            is_line = series.GetPlotType() in (series.PlotTypeLine, series.PlotTypeScatter)
            if is_line and len(_points(series)) < 2:
                logging.warning("Attempted to paint a line with <2 points.")
        QtWidgets.QWidget.update(self)

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        area = QtWidgets.QWidget.rect(self)
        if not self._series():
            painter.fillRect(area, QtCore.Qt.GlobalColor.black)
            return
        painter.fillRect(area, QtCore.Qt.GlobalColor.white)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        frame = area.adjusted(34, 8, -9, -18)
        painter.setPen(QtCore.Qt.GlobalColor.black)
        painter.drawRect(frame)
        drawn = [(series, points) for series in self._series() if (points := _points(series))]
        if not drawn:
            return
        bars = drawn[0][0].GetPlotType() == slicer.vtkMRMLPlotSeriesNode.PlotTypeBar
        limits = _limits([points for _, points in drawn], bars)
        for text, y in ((f"{limits[3]:.3g}", frame.top() + 8), (f"{limits[2]:.3g}", frame.bottom())):
            painter.drawText(0, y, text)
        for number, (series, points) in enumerate(drawn):
            color = QtGui.QColor.fromRgbF(*series.GetColor())
            painter.setPen(QtGui.QPen(color, 1.5))
            placed = _fitted(points, limits, frame)
            if bars:
                width = frame.width() / (len(points) + 1) / (len(drawn) + 1)
                for point in placed:
                    left = point.x() + (number - len(drawn) / 2) * width
                    painter.fillRect(QtCore.QRectF(left, point.y(), width - 1, frame.bottom() - point.y()), color)
            else:
                painter.drawPolyline(placed)

    def _series(self) -> list[Any]:
        chart = self._view_node.GetPlotChartNode() if self._view_node else None
        return [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())] if chart else []


def _points(series: Any) -> list[tuple[float, float]]:
    table = series.GetTableNode().GetTable() if series.GetTableNode() else None
    y = table.GetColumnByName(series.GetYColumnName()) if table else None
    if y is None:
        return []
    x = table.GetColumnByName(series.GetXColumnName()) if series.GetXColumnName() else None
    return [(x.GetTuple1(i) if x else float(i), y.GetTuple1(i)) for i in range(y.GetNumberOfTuples())]


def _limits(curves: list[list[tuple[float, float]]], bars: bool) -> tuple[float, float, float, float]:
    """Left, right, low and high of all that is drawn on one scale."""
    xs, ys = ([point[i] for curve in curves for point in curve] for i in range(2))
    if bars:
        return min(xs) - 1, max(xs) + 1, 0.0, max(ys)
    return min(xs), max(xs), min(ys), max(ys)


def _fitted(
    points: list[tuple[float, float]], limits: tuple[float, float, float, float], area: QtCore.QRect
) -> QtGui.QPolygonF:
    left, right, low, high = limits
    width, height = (right - left) or 1.0, (high - low) or 1.0
    return QtGui.QPolygonF(
        [
            QtCore.QPointF(
                area.left() + area.width() * (x - left) / width, area.bottom() - area.height() * (y - low) / height
            )
            for x, y in points
        ]
    )


OFFERED = (
    "qMRMLWidget",
    "qMRMLSortFilterProxyModel",
    "qMRMLNodeComboBox",
    "qMRMLSegmentsTableView",
    "qMRMLSegmentationShow3DButton",
    "qMRMLSegmentEditorWidget",
    "qSlicerWidget",
    "qSlicerScriptedLoadableModuleWidget",
    "qSlicerSimpleMarkupsWidget",
    "qMRMLTableView",
    "qMRMLPlotView",
)
