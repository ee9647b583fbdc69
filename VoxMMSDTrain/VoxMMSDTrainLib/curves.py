"""The curves of a run: which of them are looked at together, and how a plot view gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.labels import LINE_COLORS

Curve = Sequence[tuple[int, float]]
MOST_POINTS = 400  # of a curve: more than pixels are of no use
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


def thinned(curve: Curve, most: int = MOST_POINTS) -> list[tuple[int, float]]:
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
    """Curves in a ``qMRMLPlotView``. Its nodes are hidden, never saved, and made anew when a scene is closed."""

    def __init__(self, place, tag: str = "VoxMMSDTrain") -> None:
        # Made here: Slicer has no Designer plugin for it, so that a .ui file cannot name it.
        self._view, self._tag = slicer.qMRMLPlotView(), tag
        self._view.setMRMLScene(slicer.mrmlScene)
        place.layout().addWidget(self._view)
        self._own: list = []

    def show(self, title: str, curves: Mapping[str, Curve]) -> None:
        """Draw ``curves``, step by step, in place of those before."""
        self.remove()
        series = [
            self._series(name, thinned(curve), color_of(number)) for number, (name, curve) in enumerate(curves.items())
        ]
        self._draw(title, _("step"), series)

    def show_bars(self, labels: Sequence[str], bars: Mapping[str, Sequence[float]], colors: Mapping[str, int]) -> None:
        """Draw a group of bars for each label, a bar per name in it and in its color, in place of what was there."""
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

    def remove(self) -> None:
        """Take its nodes, but for the view's own, out of the scene."""
        for node in self._own:
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self._own.clear()

    def _series(self, name: str, curve: Curve, color: tuple[float, float, float]):
        table = self._node("vtkMRMLTableNode", name)
        for column, values in ((_("step"), [step for step, _v in curve]), (name, [value for _s, value in curve])):
            array = vtk.vtkDoubleArray()
            array.SetName(column)
            for value in values:
                array.InsertNextValue(value)
            table.AddColumn(array)
        series = self._node("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetXColumnName(_("step"))
        series.SetYColumnName(name)
        few = slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle if len(curve) < 20 else 0
        series.SetMarkerStyle(few)
        series.SetMarkerSize(5)
        series.SetColor(*color)
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


def _hide(node) -> None:
    node.SetSaveWithScene(False)
    node.HideFromEditorsOn()
