"""The curves of a run: which of them are looked at together, and how a plot view gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.colors import LINE_COLORS

Curve = Sequence[tuple[int, float]]
MAX_POINTS = 400  # of a curve: more than pixels are of no use
FEW_POINTS = 20  # a curve of fewer is drawn with its points marked
_LABELS = "labels"


def groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Title to names of the curves that share one scale, in the order in which one looks at them."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_group(name), []).append(name)
    order = [title for title in (_("Validation Dice"), _("Losses"), _("Restoration error")) if title in found]
    return {title: found[title] for title in (*order, *(title for title in found if title not in order))}


def _group(name: str) -> str:
    if name.startswith("validation Dice"):
        return _("Validation Dice")
    if "error" in name:
        return _("Restoration error")
    if name in ("loss", "restoration", "distillation"):
        return _("Losses")
    return name.replace("_", " ").capitalize()


def short_name(name: str) -> str:
    """As a legend under the title of its group has it."""
    return _("mean") if name == "validation Dice" else name.removeprefix("validation Dice ").replace("_", " ")


def thinned(curve: Curve, most: int = MAX_POINTS) -> list[tuple[int, float]]:
    """At most ``most`` points of a curve, evenly chosen, first and last among them."""
    if len(curve) <= most:
        return list(curve)
    return [curve[round(i * (len(curve) - 1) / (most - 1))] for i in range(most)]


def color_of(number: int) -> tuple[float, float, float]:
    """Of the curve of that number in its chart, each part 0 to 1."""
    red, green, blue = LINE_COLORS[number % len(LINE_COLORS)]
    return red / 255, green / 255, blue / 255


def square(number: int) -> str:
    """The color of the curve of that number, as rich text of a legend."""
    color = "".join(f"{round(255 * part):02x}" for part in color_of(number))
    return f'<span style="color:#{color}">&#9632;</span>'


class CurvePlot:
    """Curves in a ``qMRMLPlotView``. Its nodes are hidden, never saved, and created again when a scene is closed."""

    def __init__(self, place, tag: str = "VoxMMSDTrain") -> None:
        # Made here: Slicer has no Designer plugin for it, so that a .ui file cannot name it.
        self._place, self._view, self._tag = place, slicer.qMRMLPlotView(), tag
        self._view.setMRMLScene(slicer.mrmlScene)
        place.layout().addWidget(self._view)
        self._own: list = []
        self._drawn: dict[str, object] = {}  # name to series node, of the curves that are drawn
        self._bars: tuple | None = None  # labels, values and colors of the bars that are drawn
        self.remove()

    def show(self, title: str, curves: Mapping[str, Curve]) -> None:
        """Draw ``curves``, step by step, in place of those before; nodes of curves that have only grown stay."""
        if self._is_there() and list(self._drawn) == list(curves):
            for name, curve in curves.items():
                _fill(self._drawn[name], thinned(curve))
            self._view.fitToContent()
            return
        self.remove()
        series = [
            self._series(name, thinned(curve), color_of(number)) for number, (name, curve) in enumerate(curves.items())
        ]
        self._draw(title, _("step"), series)
        self._drawn = dict(zip(curves, series, strict=True))

    def show_bars(self, labels: Sequence[str], bars: Mapping[str, Sequence[float]], colors: Mapping[str, int]) -> None:
        """Draw a group of bars for each label, a bar per name in it and in its color, in place of what was there.

        Those that are there already stay as they are: creating their nodes again would hold Slicer up.
        """
        wanted = (list(labels), {name: list(values) for name, values in bars.items()}, dict(colors))
        if self._is_there() and self._bars == wanted:
            return
        self.remove()
        series = []
        for name, values in bars.items():
            one = self._series(name, list(enumerate(values)), color_of(colors[name]))
            texts = vtk.vtkStringArray()
            texts.SetName(_LABELS)
            for label in labels:
                texts.InsertNextValue(label)
            one.GetTableNode().AddColumn(texts)
            one.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
            one.SetLabelColumnName(_LABELS)
            series.append(one)
        self._draw(", ".join(bars), "", series)
        self._bars = wanted

    def _draw(self, title: str, x_title: str, series: Sequence) -> None:
        chart = self._node("vtkMRMLPlotChartNode", title)
        chart.SetTitleVisibility(False)
        chart.SetLegendVisibility(False)  # at 400 px it would cover the curves; the panel writes one below
        chart.SetXAxisTitle(x_title)
        chart.SetYAxisTitleVisibility(False)
        chart.SetAxisTitleFontSize(10)
        chart.SetAxisLabelFontSize(10)
        for one in series:
            chart.AddAndObservePlotSeriesNodeID(one.GetID())
        view_node = self._view_node()
        view_node.SetPlotChartNodeID(chart.GetID())
        self._view.setMRMLPlotViewNode(view_node)
        self._view.fitToContent()
        self._place.setVisible(True)

    def remove(self) -> None:
        """Take its nodes, but for the view's own, out of the scene; a view without a chart would be a black box."""
        self._place.setVisible(False)
        for node in self._own:
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self._own.clear()
        self._drawn, self._bars = {}, None

    def _is_there(self) -> bool:
        return bool(self._own) and all(slicer.mrmlScene.IsNodePresent(node) for node in self._own)

    def _series(self, name: str, curve: Curve, color: tuple[float, float, float]):
        table = self._node("vtkMRMLTableNode", name)
        for column in (_("step"), name):
            array = vtk.vtkDoubleArray()
            array.SetName(column)
            table.AddColumn(array)
        series = self._node("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetXColumnName(_("step"))
        series.SetYColumnName(name)
        series.SetMarkerSize(5)
        series.SetColor(*color)
        _fill(series, curve)
        return series

    def _view_node(self):
        node = slicer.mrmlScene.GetSingletonNode(self._tag, "vtkMRMLPlotViewNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLPlotViewNode")
            node.UnRegister(None)
            node.SetSingletonTag(self._tag)
            node.SetLayoutName(self._tag)
            _hide(node)
            node = slicer.mrmlScene.AddNode(node)
        return node

    def _node(self, kind: str, name: str):
        node = slicer.mrmlScene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetName(f"VoxMMSD {name}")
        _hide(node)
        node = slicer.mrmlScene.AddNode(node)
        self._own.append(node)
        return node


def _fill(series, curve: Curve) -> None:
    """Few points are marked, and a single one is there twice: VTK warns of a line through one, whatever its pen."""
    curve = [*curve, *curve] if len(curve) == 1 else curve
    kind, table = slicer.vtkMRMLPlotSeriesNode, series.GetTableNode()
    steps, values = table.GetTable().GetColumn(0), table.GetTable().GetColumn(1)
    for column, numbers in ((steps, [step for step, _v in curve]), (values, [value for _s, value in curve])):
        column.SetNumberOfValues(len(numbers))
        for number, value in enumerate(numbers):
            column.SetValue(number, value)
        column.Modified()
    series.SetMarkerStyle(kind.MarkerStyleCircle if len(curve) < FEW_POINTS else kind.MarkerStyleNone)
    table.GetTable().Modified()
    table.Modified()


def _hide(node) -> None:
    node.SetSaveWithScene(False)
    node.HideFromEditorsOn()
