"""The module ``qt``: PySide6's classes as PythonQt shows them, and only the names that real ``qt`` has."""

from __future__ import annotations

import types
from enum import Enum
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from headless_slicer import api
from headless_slicer.pythonqt import PythonQt, _flat_enums, _properties, as_pythonqt, declared

_SOURCES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)


class QtModule(types.ModuleType):
    """Looks names up in PySide6 when asked."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in api.offered("qt") and name not in ("QUiLoader", "Qt"):
            raise AttributeError(f"module 'qt' has no attribute {name!r} in Slicer")
        if name in _OWN:
            found: Any = _OWN[name]
        elif name == "Qt":
            found = _flat_namespace()
        else:
            source = next((source for source in _SOURCES if hasattr(source, name)), None)
            if source is None:
                raise NotImplementedError(f"qt.{name}: the host has none yet; real Slicer does")
            found = as_pythonqt(getattr(source, name))
        setattr(self, name, found)
        return found


def _flat_namespace() -> types.SimpleNamespace:
    flat = {name: item for name, item in vars(QtCore.Qt).items() if not name.startswith("_")}
    for item in list(flat.values()):
        if isinstance(item, type) and issubclass(item, Enum):
            flat.update(item.__members__)
    return types.SimpleNamespace(**flat)


class QUiLoader(QtUiTools.QUiLoader):
    """Reads ``.ui`` files into the classes that modules get; a class or property that Slicer lacks raises."""

    def load(self, device: Any, parent: Any = None) -> Any:
        text = bytes(device.readAll())
        _refuse_what_slicer_lacks(text)
        buffer = QtCore.QBuffer()
        buffer.setData(text)
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        self._made: list[Any] = []
        PythonQt._loading = True
        try:
            widget = super().load(buffer, parent)
        finally:
            PythonQt._loading = False
        if widget is None:
            raise RuntimeError(f"the .ui file cannot be read: {self.errorString()}")
        # Ownership lies with C++; the Python halves of the children must live as long.
        widget._children_of_ui = self._made
        return widget

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        PythonQt._loading = False
        widget = _class_named(class_name)(parent)
        PythonQt._loading = True
        QtCore.QObject.setObjectName(widget, name)
        self._made.append(widget)
        return widget

    def createLayout(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        PythonQt._loading = False
        layout = (
            as_pythonqt(getattr(QtWidgets, class_name))(parent)
            if isinstance(parent, QtWidgets.QWidget)
            else as_pythonqt(getattr(QtWidgets, class_name))()
        )
        PythonQt._loading = True
        QtCore.QObject.setObjectName(layout, name)
        self._made.append(layout)
        return layout


def _class_named(name: str) -> type:
    if hasattr(QtWidgets, name):
        return as_pythonqt(getattr(QtWidgets, name))
    from headless_slicer import ctk_module, mrml_widgets

    for stand_ins in (ctk_module, mrml_widgets):
        if hasattr(stand_ins, name):
            return getattr(stand_ins, name)
    raise NotImplementedError(f"{name}: the host has no stand-in for it yet (or Slicer has no such widget)")


_WITHOUT_PLUGIN = frozenset({"qMRMLPlotView"})  # Libs/MRML/Widgets/DesignerPlugins has none for it


def _refuse_what_slicer_lacks(text: bytes) -> None:
    for element in ElementTree.fromstring(text).iter("widget"):
        if element.attrib["class"] in _WITHOUT_PLUGIN:
            raise AttributeError(f"{element.attrib['class']} has no Designer plugin in Slicer: make it in the code")
        kind = _class_named(element.attrib["class"])
        known = _properties(kind)
        for item in element.findall("property"):
            name = item.attrib["name"]
            if item.get("stdset") != "0" and name not in known and name != "buddy":
                raise AttributeError(
                    f"{element.attrib['class']} has no property {name!r} (mark a dynamic one stdset=0)"
                )


class QSettings(as_pythonqt(QtCore.QSettings)):
    """Settings of the host: in a file of its own, never the user's."""

    _qt_class = QtCore.QSettings
    _file = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(arguments or (self._file, QtCore.QSettings.Format.IniFormat)))


_OWN: dict[str, Any] = {"QUiLoader": QUiLoader, "QSettings": QSettings}

__all__ = ["PythonQt", "QSettings", "QUiLoader", "QtModule", "_flat_enums", "declared"]
