"""Slicer's main window as a panel feels it: a dock that follows the panel's size; modules are entered and left.

``with MainWindow() as window``: while it is open ``slicer.util.mainWindow()`` finds it, and there is a layout manager.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from headless_slicer.application import LayoutManager

DOCK_WIDTH = 424  # pixels, of a fresh Slicer
FONT, POINTS = "DejaVu Sans", 10  # as wide as the font of Slicer on Linux: "0.000" takes some 50 pixels of a table


class ModulePanel(QtWidgets.QWidget):
    """Base/QTGUI/qSlicerModulePanel.h: the module in a scroll area, and a hint that follows each resize of it."""

    def __init__(self) -> None:
        super().__init__()
        self.frame: QtWidgets.QWidget | None = None
        self.scroll_area = QtWidgets.QScrollArea()
        self.scroll_area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidgetResizable(True)
        contents = QtWidgets.QWidget()
        self._column = QtWidgets.QVBoxLayout(contents)
        self.scroll_area.setWidget(contents)
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.scroll_area)

    def show_module(self, frame: QtWidgets.QWidget | None) -> None:
        """Leave the module that is shown and enter another one, as ``setModule``."""
        if self.frame is frame:
            return
        if self.frame is not None:
            self.frame.exit()
            QtCore.QObject.removeEventFilter(self.frame, self)
            self._column.removeWidget(self.frame)
            QtWidgets.QWidget.hide(self.frame)
            QtWidgets.QWidget.setParent(self.frame, None)
        self.frame = frame
        if frame is None:
            return
        real = QtWidgets.QWidget
        real.layout(frame).setContentsMargins(0, 0, 0, 0)
        self._column.insertWidget(0, frame, 1)
        # What the module hints becomes the least that it gets, and so the width of the dock.
        real.setSizePolicy(frame, QtWidgets.QSizePolicy.Policy.Minimum, real.sizePolicy(frame).verticalPolicy())
        real.show(frame)
        QtCore.QObject.installEventFilter(frame, self)
        self.updateGeometry()
        frame.enter()

    def eventFilter(self, _watched: Any, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Type.Resize:
            self.updateGeometry()
        return False

    def minimumSizeHint(self) -> QtCore.QSize:
        area = self.scroll_area
        width = area.widget().minimumSizeHint().width() + area.verticalScrollBar().sizeHint().width()
        return QtCore.QSize(width, super().minimumSizeHint().height())


class _ModuleSelector:
    """Base/QTGUI/qSlicerModuleSelectorToolBar.h."""

    def __init__(self, panel: ModulePanel) -> None:
        self._panel = panel
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"no module {name!r}")
        self.selectedModule = name
        self._panel.show_module(module.widgetRepresentation())


class MainWindow:
    """Base/QTApp/qSlicerMainWindow.h: the panel in a dock beside the views; it takes the screen's size."""

    objectName = "qSlicerMainWindow"

    def __init__(self, width: int = 1366, height: int = 768) -> None:
        self._size = (width, height)
        self.panel = ModulePanel()
        self._selector = _ModuleSelector(self.panel)
        self._dock = QtWidgets.QDockWidget("Module Panel")
        self._dock.setWidget(self.panel)
        self._window = QtWidgets.QMainWindow()
        views = QtWidgets.QWidget()
        views.setMinimumSize(200, 200)
        self._window.setCentralWidget(views)
        self._window.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, self._dock)

    def moduleSelector(self) -> _ModuleSelector:
        return self._selector

    def __enter__(self) -> MainWindow:
        application = QtWidgets.QApplication.instance()
        self._font = application.font()
        application.setFont(QtGui.QFont(FONT, POINTS))
        slicer.app._top_level.append(self)
        slicer.app._layout_manager = LayoutManager()
        self._window.resize(*self._size)
        self._window.show()
        self.settle()
        self._window.resizeDocks([self._dock], [DOCK_WIDTH], QtCore.Qt.Orientation.Horizontal)
        self.settle()
        return self

    def __exit__(self, *_error: object) -> None:
        self.panel.show_module(None)
        slicer.app._layout_manager = None
        slicer.app._top_level.remove(self)
        self._window.close()
        self._window.deleteLater()
        QtWidgets.QApplication.instance().setFont(self._font)
        slicer.app.processEvents()

    @property
    def dock_width(self) -> int:
        return self._dock.width()

    def set_dock_width(self, width: int) -> None:
        """As the user drags it; the panel's least width holds."""
        self._window.resizeDocks([self._dock], [width], QtCore.Qt.Orientation.Horizontal)
        self.settle()

    def set_height(self, height: int) -> None:
        self._window.resize(self._window.width(), height)
        self.settle()

    def settle(self) -> None:
        """Until layouts that follow each other's hints have come to rest, or clearly never will."""
        for _turn in range(5):
            slicer.app.processEvents()

    def squeezed(self) -> list[str]:
        """Visible widgets of the panel that got less room than they need, or reach over its edge, and by how much;
        those, too, that lie over their neighbor: a layout that is too low puts them there.
        """
        small = [f"{name}: {have} < {need}" for name, have, need in self._measured() if have < need]
        return [*small, *self._overlapping()]

    def _overlapping(self) -> list[str]:
        real, found = QtWidgets.QWidget, []
        for page in real.findChildren(self.panel.frame, real) if self.panel.frame is not None else ():
            if not isinstance(real.layout(page), QtWidgets.QBoxLayout | QtWidgets.QFormLayout):
                continue
            widgets = [item.widget() for item in map(real.layout(page).itemAt, range(real.layout(page).count()))]
            shown = [one for one in widgets if one is not None and real.isVisible(one) and not _is_folded(one)]
            for above, below in itertools.pairwise(shown):
                if real.geometry(above).intersects(real.geometry(below)):
                    found.append(f"{QtCore.QObject.objectName(above)} over {QtCore.QObject.objectName(below)}")
        return found

    def _measured(self) -> Iterator[tuple[str, int, int]]:
        if self.panel.frame is None:
            return
        real = QtWidgets.QWidget
        for child in real.findChildren(self.panel.frame, real):
            name = QtCore.QObject.objectName(child)
            if not name or name.startswith("qt_") or not real.isVisible(child) or _is_folded(child):
                continue
            least = _least(child)
            right = real.mapTo(child, self.panel.frame, QtCore.QPoint(real.width(child), 0)).x()
            if not _is_scrolled(child, self.panel.frame):
                yield f"{name} edge", real.width(self.panel.frame), right
            yield f"{name} width", real.width(child), least.width()
            yield f"{name} height", real.height(child), least.height()


def _is_folded(widget: QtWidgets.QWidget) -> bool:
    """Whether it lies in a part that is collapsed."""
    while (widget := QtWidgets.QWidget.parentWidget(widget)) is not None:
        if getattr(widget, "collapsed", False) is True:
            return True
    return False


def _is_scrolled(widget: QtWidgets.QWidget, frame: QtWidgets.QWidget) -> bool:
    """Whether it lies in a view that scrolls, such as a cell of a table."""
    while (widget := QtWidgets.QWidget.parentWidget(widget)) is not frame:
        if isinstance(widget, QtWidgets.QAbstractScrollArea):
            return True
    return False


def _least(widget: QtWidgets.QWidget) -> QtCore.QSize:
    """What a widget needs to be used or read: a label all its lines, the others their least size."""
    real = QtWidgets.QWidget
    hint = type(widget).minimumSizeHint(widget)
    if isinstance(widget, QtWidgets.QLabel) and real.hasHeightForWidth(widget):
        return QtCore.QSize(0, QtWidgets.QLabel.heightForWidth(widget, real.width(widget)))
    return hint
