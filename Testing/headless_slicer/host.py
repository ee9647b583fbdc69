"""Start the host once per process, and load scripted modules into it, unmodified and from their source folders."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

import shiboken6

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("VoxMMSDSegment", "VoxMMSDTrain")


@cache
def start() -> Any:
    """Make ``slicer``, ``qt``, ``ctk`` importable as in a Slicer started with ``--testing --no-main-window``."""
    _let_constants_live()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    import slicer

    from headless_slicer import (
        application,
        ctk_module,
        mrml_widgets,
        parameter_nodes,
        scripted,
        segment_editor_module,
        small_modules,
    )
    from headless_slicer.qt_module import QtModule

    sys.modules["qt"], sys.modules["ctk"] = QtModule("qt"), ctk_module.CtkModule("ctk")
    slicer.app = application.Application()
    slicer.mrmlScene = slicer.app.mrmlScene
    slicer.modules = application.slicer_modules(slicer.app)
    slicer.modules.segmenteditor = segment_editor_module.SegmentEditorModule()
    os.environ["PATH"] = os.pathsep.join([str(application.python_slicer()), os.environ["PATH"]])
    for name in mrml_widgets.OFFERED:
        setattr(slicer, name, getattr(mrml_widgets, name))
    slicer.qSlicerScriptedLoadableModule = ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = mrml_widgets.qSlicerScriptedLoadableModuleWidget
    _install("slicer.ScriptedLoadableModule", scripted)
    _install("slicer.parameterNodeWrapper", parameter_nodes)
    sys.meta_path.append(small_modules.PackagingOnImport())
    for module in (small_modules.i18n(), small_modules.sample_data()):
        sys.modules[module.__name__] = module
        if module.__name__.startswith("slicer."):
            setattr(slicer, module.__name__.rpartition(".")[2], module)
    return slicer


def _let_constants_live() -> None:
    """Before Python 3.12 None, True and False can die, and PySide6 6.12 gives a reference to them away with every call
    that returns one: some hundred thousand calls later the process is aborted. So they get references enough.
    """
    if sys.version_info < (3, 12):
        for one in (None, True, False):
            ctypes.c_ssize_t.from_address(id(one)).value += 1 << 40


def _install(name: str, source: types.ModuleType) -> None:
    import slicer

    module = types.ModuleType(name)
    for item in source.OFFERED:
        setattr(module, item, getattr(source, item))
    sys.modules[name] = module
    setattr(slicer, name.rpartition(".")[2], module)


class ScriptedModule:
    """Base/QTGUI/qSlicerScriptedLoadableModule.h: what ``parent`` is to a module's class."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, str(path)
        self._more_widgets: list[Any] = []  # representations beside the module's own
        self.title, self.categories, self.dependencies, self.contributors = "", [], [], []
        self.helpText, self.acknowledgementText, self.hidden, self.icon = "", "", False, None
        self._widget: Any = None
        self._module: Any = None

    def logic(self) -> Any:
        return None

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = open_widget(self.name).parent
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        """One more beside the module's own; it stays in the module's list until it is deleted."""
        frame = open_widget(self.name).parent
        self._more_widgets.append(frame)
        return frame

    def _left_over(self) -> list[Any]:
        return [frame for frame in self._more_widgets if shiboken6.isValid(frame)]


def leave() -> None:
    """What Slicer does when it quits: modules are unloaded, their panels cleaned up and deleted.

    Raises:
        RuntimeError: a panel failed in that; or two representations of a module were left, over which real Slicer
            crashes (qSlicerAbstractCoreModule.cxx deletes them while they leave its list).
    """
    slicer = start()
    modules = [module for module in vars(slicer.modules).values() if isinstance(module, ScriptedModule)]
    faults = []
    for module in modules:
        try:
            slicer.app.moduleManager()._unload(module.name)
        except Exception as fault:
            faults.append(f"{module.name}: {fault!r}")
        left = module._left_over()
        if len(left) > 1:
            faults.append(f"{module.name}: {len(left)} representations were never deleted")
        for frame in (*left, module._widget):
            if frame is not None and shiboken6.isValid(frame):
                shiboken6.delete(frame)
        module._widget = None
        module._more_widgets.clear()
    if faults:
        raise RuntimeError("Slicer exits abnormally: " + "; ".join(faults))


def load_module(name: str, folder: Path | None = None) -> Any:
    """Load ``NAME.py`` as Slicer does: its folder on ``sys.path``, its class constructed; the namespace.

    ``folder`` is where it was installed; without one it is loaded from the source.
    """
    slicer = start()
    folder = folder or REPOSITORY / name
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    namespace = _executed(name, folder / f"{name}.py")
    parent = ScriptedModule(name, folder / f"{name}.py")
    parent._module = getattr(namespace, name)(parent)
    setattr(slicer.modules, name.lower(), parent)
    slicer.app._complete_startup()
    return namespace


def _executed(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    namespace = importlib.util.module_from_spec(spec)
    sys.modules[name] = namespace
    spec.loader.exec_module(namespace)
    return namespace


def open_widget(name: str) -> Any:
    """The module's panel, set up; ``cleanup()`` is the caller's to call."""
    slicer = start()
    if name not in sys.modules:
        load_module(name)
    parent = slicer.qSlicerScriptedLoadableModuleWidget()
    parent.setMRMLScene(slicer.mrmlScene)
    parent._source = name
    parent.reload()
    return parent.self()


def picture(widget: Any, path: Path, width: int = 400, height: int | None = None) -> Path:
    """Grab a panel at a width, as high as it wants to be; or the upper part of it, of a height."""
    from PySide6 import QtCore, QtWidgets

    real = QtWidgets.QWidget
    real.setFixedWidth(widget, width)
    real.show(widget)
    start().app.processEvents()
    real.resize(widget, width, max(height or 0, real.sizeHint(widget).height()))
    start().app.processEvents()
    path.parent.mkdir(parents=True, exist_ok=True)
    area = QtCore.QRect(0, 0, width, height or real.height(widget))
    if not real.grab(widget, area).save(str(path)):
        raise RuntimeError(f"{path}: the picture could not be written")
    return path


def wait_until(condition: Any, seconds: float = 120.0) -> None:
    """Run the event loop until ``condition()``; raises TimeoutError after ``seconds``."""
    import time

    from PySide6 import QtCore

    end, loop = time.monotonic() + seconds, QtCore.QEventLoop()
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not reached in {seconds} s: {condition}")
        QtCore.QTimer.singleShot(20, loop.quit)
        loop.exec()
