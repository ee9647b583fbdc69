"""The host fails where Slicer does: at its exit, over nodes removed twice, in a dock that follows the panel."""

import logging

import pytest

from headless_slicer import host
from headless_slicer.main_window import DOCK_WIDTH, MainWindow

slicer = host.start()
for name in host.MODULES:
    host.load_module(name)


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear()


def test_two_panels_that_were_never_deleted_are_an_error_at_the_exit():
    module = slicer.modules.voxmmsdtrain
    panels = [slicer.util.getNewModuleWidget("VoxMMSDTrain") for _ in range(2)]
    with pytest.raises(RuntimeError, match="2 representations were never deleted"):
        host.leave()
    assert module._left_over() == []
    del panels


def test_a_deleted_panel_that_is_cleaned_up_when_modules_are_unloaded_is_an_error_at_the_exit():
    panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
    panel.cleanup()
    panel.cleanup = lambda: panel.parent.windowTitle
    panel.parent.delete()
    with pytest.raises(RuntimeError, match="exits abnormally"):
        host.leave()
    slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", panel._onModuleAboutToBeUnloaded)


def test_a_panel_that_is_taken_down_leaves_well():
    panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
    panel.cleanup()
    slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", panel._onModuleAboutToBeUnloaded)
    panel.parent.delete()
    host.leave()


def volume(name="T1"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    node.AddDefaultStorageNode()
    return node


def test_a_node_takes_its_display_and_storage_nodes_along():
    before = slicer.mrmlScene.GetNumberOfNodes()
    node = volume()
    slicer.mrmlScene.RemoveNode(node)
    assert slicer.mrmlScene.GetNumberOfNodes() <= before + 1  # a color table may have come, once
    with pytest.raises(RuntimeError, match="is not in the scene"):
        slicer.mrmlScene.RemoveNode(node)


def test_a_node_is_removed_whole_and_nothing_of_it_twice():
    from VoxMMSDLib.volumes import remove_whole

    node = volume()
    display, storage = node.GetDisplayNode(), node.GetStorageNode()
    remove_whole(node)
    assert not any(slicer.mrmlScene.IsNodePresent(one) for one in (node, display, storage))


def test_the_segment_editor_takes_the_first_segmentation_and_the_volume_of_its_geometry():
    volumes = [volume(name) for name in ("T1", "T1 contrast")]
    nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("first", "second")]
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node, image in zip(nodes, volumes, strict=True):
        node.SetNodeReferenceID(role, image.GetID())
    with MainWindow():
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.SegmentEditorWidget.editor
        assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (nodes[0], volumes[0])
        editor.setSegmentationNode(nodes[1])
        assert editor.sourceVolumeNode() is volumes[1]
        editor.setSourceVolumeNode(volumes[0])
        assert editor.sourceVolumeNode() is volumes[0]


def test_the_dock_grows_with_a_table_whose_hint_follows_its_width():
    import qt

    with MainWindow() as window:
        assert abs(window.dock_width - DOCK_WIDTH) <= 2
        slicer.util.selectModule("VoxMMSDTrain")
        table = qt.QTableWidget(1, 2)
        table.setSizeAdjustPolicy(qt.QAbstractScrollArea.AdjustToContents)
        table.horizontalHeader().setStretchLastSection(True)
        slicer.modules.VoxMMSDTrainWidget.layout.addWidget(table)
        for width in (500, 600):
            window.set_dock_width(width)
        window.set_dock_width(DOCK_WIDTH)
        assert window.dock_width > DOCK_WIDTH + 100
    host.leave()


def test_a_plot_view_warns_of_a_line_through_one_point(caplog):
    with caplog.at_level(logging.WARNING):
        draw_line(points=1)
        assert "<2 points" in caplog.text
    caplog.clear()
    draw_line(points=2)
    assert caplog.text == ""


def draw_line(points):
    import vtk

    scene = slicer.mrmlScene
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    array = vtk.vtkDoubleArray()
    array.SetName("y")
    for value in range(points):
        array.InsertNextValue(value)
    table.AddColumn(array)
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(series.PlotTypeLine)
    series.SetYColumnName("y")
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    node = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    node.SetPlotChartNodeID(chart.GetID())
    view = slicer.qMRMLPlotView()
    view.setMRMLScene(scene)
    view.setMRMLPlotViewNode(node)
    view.fitToContent()


def test_curves_of_one_point_are_drawn_without_a_warning_and_grow_without_new_nodes(caplog):
    import qt

    from VoxMMSDTrainLib.curves import CurvePlot

    place = qt.QWidget()
    place.setLayout(qt.QVBoxLayout())
    plot = CurvePlot(place, "test")
    assert place.isHidden()  # an empty view would be a black box
    with caplog.at_level(logging.WARNING):
        plot.show("Losses", {"loss": [(1, 0.5)]})
        count = slicer.mrmlScene.GetNumberOfNodes()
        assert not place.isHidden()
        for steps in (2, 500, 3):
            plot.show("Losses", {"loss": [(step, 1 / (step + 1)) for step in range(steps)]})
    assert caplog.text == ""
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode").GetTable()
    assert [table.GetValue(row, 1).ToDouble() for row in range(table.GetNumberOfRows())] == [1, 1 / 2, 1 / 3]
    plot.remove()
    assert place.isHidden()
