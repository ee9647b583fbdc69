"""Stand-ins for CTK's widgets: no more than the properties and signals of CTK/Libs/Widgets."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from headless_slicer import api
from headless_slicer.pythonqt import declared

Q = QtWidgets


class ctkCollapsibleButton(declared("ctkCollapsibleButton", Q.QAbstractButton)):
    """CTK/Libs/Widgets/ctkCollapsibleButton.h: a header that hides what is laid out below it."""

    _stands_for = "ctkCollapsibleButton"
    _HEADER = 22

    def __init__(self, *arguments: Any) -> None:
        if arguments and isinstance(arguments[0], str):
            super().__init__(*arguments[1:])
            self.text = arguments[0]
        else:
            super().__init__(*arguments)
        QtWidgets.QWidget.setContentsMargins(self, 0, self._HEADER, 0, 0)
        policy = QtWidgets.QSizePolicy.Policy
        QtWidgets.QWidget.setSizePolicy(self, policy.Minimum, policy.Preferred)  # as CTK's
        QtWidgets.QAbstractButton.setCheckable(self, True)
        QtWidgets.QAbstractButton.setChecked(self, True)
        QtWidgets.QAbstractButton.toggled.__get__(self).connect(lambda checked: self._collapse(not checked))

    def _on_property(self, name: str) -> None:
        if name == "collapsed":
            self._collapse(self.collapsed)

    def _collapse(self, collapsed: bool) -> None:
        if QtWidgets.QAbstractButton.isChecked(self) == collapsed:
            QtWidgets.QAbstractButton.setChecked(self, not collapsed)
        if self.__dict__.setdefault("_kept", {}).get("_shown") == collapsed:
            return
        self._kept.update(collapsed=collapsed, _shown=collapsed)
        for child in QtCore.QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not collapsed)
        QtWidgets.QWidget.setMaximumHeight(self, self._HEADER if collapsed else 16777215)
        type(self).contentsCollapsed.__get__(self).emit(collapsed)

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        inner = layout.minimumSize() if layout and not self.collapsed else QtCore.QSize(0, 0)
        return QtCore.QSize(max(120, inner.width()), max(self._HEADER, inner.height()))

    def sizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        inner = layout.sizeHint() if layout and not self.collapsed else QtCore.QSize(0, 0)
        return QtCore.QSize(max(120, inner.width()), max(self._HEADER, inner.height()))

    def paintEvent(self, _event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), self._HEADER)
        option.text = ("▸ " if self.collapsed else "▾ ") + QtWidgets.QAbstractButton.text(self)
        font = QtGui.QFont(QtWidgets.QWidget.font(self))
        font.setBold(True)
        painter.setFont(font)
        painter.fillRect(option.rect, option.palette.color(QtGui.QPalette.ColorRole.Button).darker(106))
        painter.drawText(option.rect.adjusted(6, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, option.text)


class ctkCollapsibleGroupBox(declared("ctkCollapsibleGroupBox", Q.QGroupBox)):
    """CTK/Libs/Widgets/ctkCollapsibleGroupBox.h."""

    _stands_for = "ctkCollapsibleGroupBox"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        QtWidgets.QGroupBox.setCheckable(self, True)
        QtWidgets.QGroupBox.toggled.__get__(self).connect(self._show_children)

    def _on_property(self, name: str) -> None:
        if name == "collapsed":
            QtWidgets.QGroupBox.setChecked(self, not self.collapsed)

    def _show_children(self, shown: bool) -> None:
        self.__dict__.setdefault("_kept", {})["collapsed"] = not shown
        for child in QtCore.QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(shown)


class ctkPathLineEdit(declared("ctkPathLineEdit", Q.QWidget, {"showBrowseButton": True})):
    """CTK/Libs/Widgets/ctkPathLineEdit.h: a line edit and a browse button.

    Text is valid if it is not empty, as without name filters; emptied, it tells of no path but only that it is not.
    """

    _stands_for = "ctkPathLineEdit"
    Dirs, Files, Writable = 0x001, 0x002, 0x020

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit, browse = QtWidgets.QLineEdit(), QtWidgets.QToolButton()
        browse.setText("…")
        layout.addWidget(self._edit)
        layout.addWidget(browse)
        self._is_valid = False
        self._edit.textChanged.connect(self._typed)

    def _typed(self, text: str) -> None:
        self.__dict__.setdefault("_kept", {})["currentPath"] = text
        was_valid, is_valid = self._is_valid, bool(text)
        self._is_valid = is_valid
        if is_valid:
            type(self).currentPathChanged.__get__(self).emit(text)
        if is_valid != was_valid:
            type(self).validInputChanged.__get__(self).emit(is_valid)

    def _on_property(self, name: str) -> None:
        if name == "currentPath" and self._edit.text() != self.currentPath:
            self._edit.setText(self.currentPath)

    def setCurrentPath(self, path: str) -> None:
        self.currentPath = path

    def addCurrentPathToHistory(self) -> None:
        """History is the user's; the host keeps none."""


class ctkDirectoryButton(declared("ctkDirectoryButton", Q.QWidget)):
    """CTK/Libs/Widgets/ctkDirectoryButton.h: a button that shows and chooses a folder."""

    _stands_for = "ctkDirectoryButton"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._button = QtWidgets.QPushButton()
        layout.addWidget(self._button)

    def _on_property(self, name: str) -> None:
        if name == "directory":
            self._button.setText(self.directory)
            type(self).directoryChanged.__get__(self).emit(self.directory)


class ctkSliderWidget(declared("ctkSliderWidget", Q.QWidget, {"maximum": 99.0, "singleStep": 1.0, "decimals": 2})):
    """CTK/Libs/Widgets/ctkSliderWidget.h: a slider with a spin box."""

    _stands_for = "ctkSliderWidget"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._spin = QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._spin.valueChanged.connect(self._moved)
        self._slider.valueChanged.connect(lambda step: self._spin.setValue(self.minimum + step * self._step()))
        self._on_property("maximum")

    def _step(self) -> float:
        return float(self.singleStep) or 1.0

    def _moved(self, value: float) -> None:
        self.__dict__.setdefault("_kept", {})["value"] = value
        self._slider.blockSignals(True)
        self._slider.setValue(round((value - self.minimum) / self._step()))
        self._slider.blockSignals(False)
        type(self).valueChanged.__get__(self).emit(value)

    def _on_property(self, name: str) -> None:
        if name == "value":
            self._spin.setValue(float(self.value))
            return
        self._spin.setDecimals(int(self.decimals))
        self._spin.setRange(float(self.minimum), float(self.maximum))
        self._spin.setSingleStep(self._step())
        self._spin.setSuffix(self.suffix or "")
        self._slider.setRange(0, round((self.maximum - self.minimum) / self._step()))

    def setValue(self, value: float) -> None:
        self.value = value


class ctkComboBox(declared("ctkComboBox", Q.QComboBox)):
    """CTK/Libs/Widgets/ctkComboBox.h: a combo box that elides."""

    _stands_for = "ctkComboBox"


class ctkSearchBox(declared("ctkSearchBox", Q.QLineEdit)):
    """CTK/Libs/Widgets/ctkSearchBox.h."""

    _stands_for = "ctkSearchBox"


class ctkDoubleSpinBox(declared("ctkDoubleSpinBox", Q.QDoubleSpinBox)):
    """CTK/Libs/Widgets/ctkDoubleSpinBox.h."""

    _stands_for = "ctkDoubleSpinBox"


class ctkFittedTextBrowser(declared("ctkFittedTextBrowser", Q.QTextBrowser)):
    """CTK/Libs/Widgets/ctkFittedTextBrowser.h: as high as its text."""

    _stands_for = "ctkFittedTextBrowser"


class ctkPushButton(declared("ctkPushButton", Q.QPushButton)):
    """CTK/Libs/Widgets/ctkPushButton.h."""

    _stands_for = "ctkPushButton"


class ctkMenuButton(declared("ctkMenuButton", Q.QPushButton)):
    """CTK/Libs/Widgets/ctkMenuButton.h."""

    _stands_for = "ctkMenuButton"


class ctkMessageBox(declared("ctkMessageBox", Q.QMessageBox)):
    """CTK/Libs/Widgets/ctkMessageBox.h; nobody could answer it, so showing one raises."""

    _stands_for = "ctkMessageBox"

    def exec_(self) -> int:
        raise RuntimeError(f"a message box would wait for an answer: {self.text}")


class CtkModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in api.offered("ctk"):
            raise AttributeError(f"module 'ctk' has no attribute {name!r} in Slicer")
        if name not in globals():
            raise NotImplementedError(f"ctk.{name}: the host has no stand-in for it yet; real Slicer does")
        return globals()[name]
