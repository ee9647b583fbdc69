"""``slicer.app``, its IO manager and ``slicer.modules``: the part of Slicer's application that needs its own C++."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from headless_slicer import api, removal
from headless_slicer.qt_module import QSettings

HOME = Path(tempfile.mkdtemp(prefix="headless-slicer-"))
SHARE = "share/Slicer-5.12"


class Application:
    """Base/QTCore/qSlicerCoreApplication.h and Base/QTGUI/qSlicerApplication.h; it holds the real QApplication."""

    majorVersion, minorVersion, revision = 5, 12, "0"
    applicationName, mainApplicationName = "Slicer", "Slicer"
    applicationVersion = "5.12.4"
    platform, os, arch = "linux-amd64", "linux", "amd64"
    temporaryPath = str(HOME / "temporary")
    slicerHome = str(HOME)
    extensionsInstallPath = str(HOME / "extensions")

    def __init__(self) -> None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        self._qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self._environment_of_the_start = QtCore.QProcessEnvironment.systemEnvironment()
        Path(self.temporaryPath).mkdir(exist_ok=True)
        QSettings._file = str(HOME / "Slicer.ini")
        self._logic = _application_logic()
        self._layout_manager: Any = None
        self._waiting: list[Any] = []  # for the end of the start
        self._connected: list[tuple[str, Any]] = []
        self._top_level: list[Any] = []  # the main window, where there is one
        self._io = IOManager()
        self._modules = ModuleManager()
        self.mrmlScene = self._logic.GetMRMLScene()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in api.widgets()["objects"]["slicer.app"]:
            raise AttributeError(f"slicer.app has no attribute {name!r} in Slicer")
        if hasattr(QtWidgets.QApplication, name):
            return getattr(self._qt, name)
        raise NotImplementedError(f"slicer.app.{name}: the host has none yet; real Slicer does")

    def connect(self, signature: str, slot: Any) -> bool:
        """Signals of QApplication, and the one by which modules wait for Slicer's start."""
        if signature == "startupCompleted()":
            self._waiting.append(slot)
            return True
        getattr(self._qt, signature.partition("(")[0]).connect(slot)
        self._connected.append((signature, slot))
        return True

    def disconnect(self, signature: str, slot: Any) -> bool:
        if (signature, slot) not in self._connected:
            return False
        self._connected.remove((signature, slot))
        getattr(self._qt, signature.partition("(")[0]).disconnect(slot)
        return True

    def _complete_startup(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()

    def applicationLogic(self) -> Any:
        return self._logic

    def layoutManager(self) -> Any:
        """None, as with ``--no-main-window``; ``main_window.MainWindow`` brings one."""
        return self._layout_manager

    def coreIOManager(self) -> IOManager:
        return self._io

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        return self._modules.module(name).logic()

    def settings(self) -> QSettings:
        return QSettings()

    userSettings = settings
    revisionUserSettings = settings

    def testingEnabled(self) -> bool:
        return True

    def processEvents(self) -> None:
        self._qt.processEvents()
        self._qt.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)

    def pauseRender(self) -> None:
        """There are no live views."""

    def resumeRender(self) -> None:
        """There are no live views."""

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        """What this process changes later, a child never sees."""
        return self._environment_of_the_start

    def topLevelWidgets(self) -> list[Any]:
        return list(self._top_level)

    def setOverrideCursor(self, cursor: Any) -> None:
        self._qt.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        self._qt.restoreOverrideCursor()

    def openNodeModule(self, node: Any) -> None:
        raise RuntimeError(f"the host opens no module for {node.GetName()}")


def _application_logic() -> Any:
    """Slicer's application logic with a home that holds the terminologies it would find in its installation."""
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    colors_folder = HOME / SHARE / "ColorFiles"
    colors_folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{i} tissue-{i} {50 * i % 256} {90 * i % 256} {130 * i % 256} {255 if i else 0}" for i in range(8)]
    (colors_folder / "GenericColors.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    logic.SetHomeDirectory(str(HOME))
    logic.SetShareDirectory(SHARE)
    logic.SetTemporaryPath(Application.temporaryPath)
    logic.SetMRMLScene(scene)
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    logic.SetColorLogic(colors)
    logic.SetModuleLogic("Colors", colors)
    scene._keep = (logic, colors, _data_io(scene))
    _add_what_slicer_always_has(scene)
    _fill_data_tree(scene)
    removal.follow(scene)
    return logic


def _data_io(scene: Any) -> Any:
    """What unpacks scene bundles, and where."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    (HOME / "cache").mkdir()
    cache.SetRemoteCacheDirectory(str(HOME / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    return cache, manager


def _add_what_slicer_always_has(scene: Any) -> None:
    for class_name in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode", "vtkMRMLSubjectHierarchyNode"):
        if not scene.GetFirstNodeByClass(class_name):
            scene.AddNewNodeByClass(class_name)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        slice_node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        slice_node.UnRegister(None)
        slice_node.SetName(name)
        slice_node.SetLayoutName(name)
        slice_node.SetSingletonTag(name)
        scene.AddNode(slice_node)
        getattr(slice_node, f"SetOrientationTo{orientation}")()
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetLayoutName(name)
        composite.SetSingletonTag(name)
        scene.AddNode(composite)


class LayoutManager:
    """Base/QTApp/qSlicerLayoutManager.h: there is one, and no more of it than that the views have names."""

    def __getattr__(self, name: str) -> Any:
        if name not in api.widgets()["objects"]["slicer.app.layoutManager()"]:
            raise AttributeError(f"the layout manager has no attribute {name!r} in Slicer")
        raise NotImplementedError(f"layoutManager().{name}: the host has none yet; real Slicer does")

    def sliceViewNames(self) -> tuple[str, ...]:
        return ("Red", "Green", "Yellow")

    def mrmlSliceLogics(self) -> Any:
        """None of them: there are no live views."""
        return vtk.vtkCollection()


class IOManager:
    """Base/QTCore/qSlicerCoreIOManager.h: files by the storage nodes of MRML."""

    _SEGMENTATION = (".seg.nrrd", ".seg.nhdr", ".seg.vtm")

    def fileType(self, filename: str) -> str:
        name = str(filename).lower()
        if name.endswith(self._SEGMENTATION):
            return "SegmentationFile"
        if name.endswith((".mrml", ".mrb")):
            return "SceneFile"
        return "MarkupsFile" if name.endswith(".mrk.json") else "VolumeFile"

    def extractKnownExtension(self, filename: str, node: Any) -> str:
        known = [
            slicer.vtkDataFileFormatHelper.GetFileExtensionFromFormatString(text)
            for text in self.fileWriterExtensions(node)
        ]
        fitting = [extension for extension in known if str(filename).lower().endswith(extension)]
        return max(fitting, key=len, default="")

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        storage = _stored(node)
        formats = storage.GetSupportedWriteFileTypes() if storage else None
        found = tuple(formats.GetValue(i) for i in range(formats.GetNumberOfValues())) if formats else ()
        # ITK's writers are registered by Slicer's application, so slicer-core lists none for volumes.
        return found or ("NRRD (.nrrd)", "NIfTI (.nii.gz)", "NIfTI (.nii)")

    def loadNodes(self, file_type: str, properties: dict, collection: Any, messages: Any = None) -> bool:
        path = Path(properties["fileName"])
        if file_type == "SceneFile":
            messages = messages or slicer.vtkMRMLMessageCollection()
            clears = bool(properties.get("clear", False))
            if path.suffix == ".mrb":
                connected = slicer.mrmlScene.ReadFromMRB(str(path), clears, messages)
            else:
                slicer.mrmlScene.SetURL(str(path))
                read = slicer.mrmlScene.Connect if clears else slicer.mrmlScene.Import
                connected = read(messages)
            return bool(connected) and not messages.GetNumberOfMessagesOfType(vtk.vtkCommand.ErrorEvent)
        node = (
            self._read_volume(path, properties)
            if file_type == "VolumeFile"
            else self._read(file_type, path, properties)
        )
        if node is None:
            return False
        collection.AddItem(node)
        return True

    def _read_volume(self, path: Path, properties: dict) -> Any:
        options = 1 if properties.get("labelmap") else 0
        logic = slicer.modules.volumes.logic()
        return logic.AddArchetypeVolume(str(path), properties.get("name") or path.name.split(".")[0], options)

    def _read(self, file_type: str, path: Path, properties: dict) -> Any:
        kind = {"SegmentationFile": "vtkMRMLSegmentationNode", "MarkupsFile": "vtkMRMLMarkupsFiducialNode"}[file_type]
        node = slicer.mrmlScene.AddNewNodeByClass(kind, properties.get("name") or path.name.split(".")[0])
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(str(path))
        return node if storage.ReadData(node) else None

    def exportNodes(self, ids: Any, names: Any, properties: dict, harden: bool, messages: Any = None) -> bool:
        """Write copies of nodes from a scene of their own; a node without a storage node gets an empty one."""
        return all(
            self._export(slicer.mrmlScene.GetNodeByID(i), str(name), properties, harden)
            for i, name in zip(ids, names, strict=True)
        )

    def _export(self, node: Any, name: str, properties: dict, harden: bool) -> bool:
        _stored(node)
        scene = slicer.vtkMRMLScene()
        scene.SetDataIOManager(slicer.mrmlScene.GetDataIOManager())
        copy = scene.AddNewNodeByClass(node.GetClassName(), node.GetName())
        copy.CopyContent(node)
        if harden and node.GetParentTransformNode():
            _harden(copy, node.GetParentTransformNode())
        storage = self._storage(copy)
        storage.SetFileName(name)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(copy))

    def saveNodes(self, file_type: str, properties: dict, messages: Any = None) -> bool:
        if file_type != "SceneFile":
            node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
            return self._export(node, properties["fileName"], properties, False)
        path = str(properties["fileName"])
        if path.endswith(".mrb"):
            return bool(slicer.mrmlScene.WriteToMRB(path))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Commit(path))

    def _storage(self, node: Any) -> Any:
        storage = node.CreateDefaultStorageNode()
        if storage:
            storage.UnRegister(None)
        return storage


def _stored(node: Any) -> Any:
    """Slicer's writers ask a node's storage node for its formats, and add one to the scene where there is none."""
    storable = hasattr(node, "GetStorageNode")
    if storable and node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    return node.GetStorageNode() if storable else None


def _harden(copy: Any, transform: Any) -> None:
    if transform.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(matrix)
        copy.ApplyTransformMatrix(matrix)
        return
    to_world = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(to_world)
    copy.ApplyTransform(to_world)


class Module:
    """Base/QTCore/qSlicerAbstractCoreModule.h."""

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name, self.path, self.title, self._logic = name, path, name, logic
        self.icon: Any = None
        self._widget: Any = None

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        return self._widget


class ModuleManager:
    """Base/QTCore/qSlicerModuleManager.h."""

    _UNLOADED = "moduleAboutToBeUnloaded(QString)"

    def __init__(self) -> None:
        self._slots: list[Any] = []

    def connect(self, signature: str, slot: Any) -> bool:
        if signature != self._UNLOADED:
            raise NotImplementedError(f"qSlicerModuleManager: the host sends no {signature}")
        self._slots.append(slot)
        return True

    def disconnect(self, signature: str, slot: Any) -> bool:
        if signature != self._UNLOADED or slot not in self._slots:
            return False
        self._slots.remove(slot)
        return True

    def _unload(self, name: str) -> None:
        for slot in list(self._slots):
            slot(name)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(module.name for module in vars(slicer.modules).values() if isinstance(module, Module))


class Modules(types.SimpleNamespace):
    """``slicer.modules``; a module that is not there raises AttributeError, as in Slicer."""


def slicer_modules(application: Application) -> Modules:
    """The loadable modules whose logics slicer-core brings."""
    made = {
        "volumes": slicer.vtkSlicerVolumesLogic,
        "terminologies": slicer.vtkSlicerTerminologiesModuleLogic,
        "segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
        "subjecthierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
        "markups": slicer.vtkSlicerMarkupsLogic,
        "tables": slicer.vtkSlicerTablesLogic,
        "transforms": slicer.vtkSlicerTransformLogic,
        "plots": slicer.vtkSlicerPlotsLogic,
        "models": slicer.vtkSlicerModelsLogic,
    }
    logic = application.applicationLogic()
    modules = Modules()
    for name, kind in made.items():
        setattr(modules, name, Module(name.capitalize(), _started(kind(), logic)))
    return modules


_IN_DATA_TREE = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTableNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLModelNode",
    "vtkMRMLTransformNode",
)


def _fill_data_tree(scene: Any) -> None:
    """Slicer's subject hierarchy plugins (Qt) give every data node an item."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(_caller: Any, _event: str, node: Any) -> None:
        tree = scene.GetSubjectHierarchyNode()
        if node is not None and tree is not None and any(node.IsA(kind) for kind in _IN_DATA_TREE):
            tree.CreateItem(tree.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, on_added)


def _empty_terminologies() -> str:
    """Slicer's own lists of terms are not in slicer-core: lists of the same names, with nothing in them."""
    folder = HOME / SHARE / "qt-loadable-modules/Terminologies"
    folder.mkdir(parents=True, exist_ok=True)
    categories = (
        "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy",
        "SegmentationCategoryTypeModifier-DICOM-Master",
    )
    for name in categories:
        record = {
            "@schema": _SCHEMA.format("segment"),
            "SegmentationCategoryTypeContextName": name,
            "SegmentationCodes": {"Category": []},
        }
        (folder / f"{name}.term.json").write_text(json.dumps(record), encoding="utf-8")
    name = "AnatomicRegionAndModifier-DICOM-Master"
    record = {
        "@schema": _SCHEMA.format("anatomic"),
        "AnatomicContextName": name,
        "AnatomicCodes": {"AnatomicRegion": []},
    }
    (folder / f"{name}.term.json").write_text(json.dumps(record), encoding="utf-8")
    return str(folder)


_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/{}-context-schema.json#"


def _started(module_logic: Any, application_logic: Any) -> Any:
    module_logic.SetMRMLApplicationLogic(application_logic)
    if module_logic.IsA("vtkSlicerTerminologiesModuleLogic"):
        module_logic.SetModuleShareDirectory(_empty_terminologies())
    module_logic.SetMRMLScene(application_logic.GetMRMLScene())
    if hasattr(application_logic, "SetModuleLogic"):
        name = module_logic.GetClassName().removeprefix("vtkSlicer").removesuffix("Logic").removesuffix("Module")
        application_logic.SetModuleLogic(name, module_logic)
    return module_logic


def python_slicer() -> Path:
    """A folder with ``PythonSlicer``: Slicer's interpreter is the one that runs the host."""
    folder = HOME / "bin"
    folder.mkdir(exist_ok=True)
    script = folder / "PythonSlicer"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return folder
