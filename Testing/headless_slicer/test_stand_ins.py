"""The stand-ins behave as PythonQt was observed to, and offer nothing that real Slicer lacks."""

import inspect
import os
import subprocess
import sys
import typing

import numpy
import pytest

from headless_slicer import api, ctk_module, host, mrml_widgets, parameter_nodes, pythonqt, scripted, small_modules
from headless_slicer.main_window import MainWindow
from headless_slicer.qt_module import QtModule

slicer = host.start()
qt = QtModule("qt")

STAND_INS = [
    item
    for module in (ctk_module, mrml_widgets)
    for item in vars(module).values()
    if isinstance(item, type) and "_stands_for" in vars(item)
]


def test_none_true_and_false_outlive_any_number_of_calls_into_qt():
    assert min(sys.getrefcount(one) for one in (None, True, False)) > 1 << 31


@pytest.mark.parametrize("stand_in", STAND_INS, ids=lambda kind: kind.__name__)
def test_a_stand_in_has_no_name_of_its_own_making(stand_in):
    own = {name for name in vars(stand_in) if not name.startswith("_")} - {"staticMetaObject"}
    overridden = {"minimumSizeHint", "sizeHint", "paintEvent", "staticMetaObject"}
    assert own - overridden <= api.members(stand_in.__name__)
    assert stand_in.__doc__ and ".h" in stand_in.__doc__, "names the header it stands for"


@pytest.mark.parametrize("name", scripted.OFFERED)
def test_the_scripted_classes_have_slicers_signatures(name):
    for method, signature in api.python_api()["slicer.ScriptedLoadableModule"]["classes"][name]["methods"].items():
        ours = inspect.signature(getattr(getattr(scripted, name), method))
        assert _names(str(ours)) == _names(signature), f"{name}.{method}"


def test_packaging_has_slicers_signatures():
    packaging = small_modules.Packaging()
    for name in ("pip_check", "pip_ensure", "pip_install"):
        real = api.python_api()["slicer.packaging"]["functions"][name]
        assert _names(str(inspect.signature(getattr(packaging, name)))) == _names(real), name


def test_sample_data_has_slicers_signature():
    real = api.python_api()["SampleData"]["classes"]["SampleDataLogic"]["methods"]["registerCustomSampleDataSource"]
    ours = inspect.signature(small_modules.SampleDataLogic.registerCustomSampleDataSource)
    assert _names(str(ours)) == _names(real)


def test_a_property_is_a_value_and_not_to_be_called():
    button = qt.QPushButton("A")
    assert (button.text, button.enabled) == ("A", True)
    with pytest.raises(TypeError):
        button.text()
    button.setText("B")
    assert button.text == "B" and button.isEnabled()


def test_a_property_whose_getter_is_virtual_is_read_without_asking_for_itself(monkeypatch):
    read = []
    properties = pythonqt._properties
    monkeypatch.setattr(pythonqt, "_properties", lambda kind: (read.append(kind), properties(kind))[1])
    assert qt.QLabel("some words").sizeHint.width() > 10
    assert len(read) < 10


def test_unknown_names_are_refused_to_read_and_to_set():
    button = qt.QPushButton("A")
    for act in (lambda: button.caption, lambda: setattr(button, "caption", "x"), lambda: qt.QNothing):
        with pytest.raises(AttributeError):
            act()


def test_signals_connect_by_signature_and_a_wrong_one_is_loud_here():
    button, got = qt.QPushButton("A"), []
    assert button.connect("clicked(bool)", got.append) is True
    assert button.connect("clicked()", lambda: got.append("no argument")) is True
    button.click()
    assert got == [False, "no argument"]
    with pytest.raises(TypeError):
        button.connect("klicked()", print)


def test_a_disconnected_slot_hears_no_more():
    button, got = qt.QPushButton("A"), []
    button.connect("clicked(bool)", got.append)
    assert button.disconnect("clicked(bool)", got.append) is True
    button.click()
    assert not got


def test_a_combo_box_gives_back_what_an_item_carries():
    combo = qt.QComboBox()
    combo.addItem("x", {"a": 1})
    assert combo.currentData == {"a": 1} and combo.count == 1


def test_a_node_selector_follows_the_scene():
    slicer.mrmlScene.Clear()
    selector, heard = slicer.qMRMLNodeComboBox(), []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    assert selector.nodeCount() == 1 and selector.currentNode() is None
    selector.setCurrentNode(volume)
    assert selector.currentNodeID == volume.GetID() and heard == [volume]
    slicer.mrmlScene.RemoveNode(volume)
    assert selector.currentNode() is None and selector.currentNodeID == ""


@pytest.fixture
def selector():
    slicer.mrmlScene.Clear()
    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.noneEnabled = True
    made.setMRMLScene(slicer.mrmlScene)
    return made


def added(*names):
    return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]


def test_a_selector_chooses_the_neighbor_of_a_deleted_node_as_qt_does(selector):
    first, second, third = added("T1", "T2", "FLAIR")
    selector.setCurrentNode(second)
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is third
    slicer.mrmlScene.RemoveNode(third)
    assert selector.currentNode() is first


def test_a_selector_tells_of_a_node_while_it_is_still_there(selector):
    first, _second = added("T1", "T2")
    selector.setCurrentNode(first)
    selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", lambda node: selector.setCurrentNode(None))
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is None


def test_a_node_that_is_hidden_later_stays_listed_until_it_is_filtered_out(selector):
    (node,) = added("T1")
    node.SetHideFromEditors(True)
    added("T2")
    assert selector.nodeCount() == 2
    selector.sortFilterProxyModel().hiddenNodeIDs = [node.GetID()]
    assert selector.nodeCount() == 1


def wrapped(annotation):
    """A parameter node with one parameter, and a selector tied to it whose .ui file says something else."""
    made = type("Made", (), {"__annotations__": {"chosen": annotation}, "__module__": __name__})
    node = parameter_nodes.parameterNodeWrapper(made)(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLModelNode"]
    node.connectParametersToGui({"chosen": selector})
    return selector


def test_a_tied_selector_offers_what_the_annotation_says_whatever_the_ui_file_says():
    volume, segmentation = slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode
    assert list(wrapped(volume).nodeTypes) == ["vtkMRMLScalarVolumeNode"]
    both = wrapped(typing.Union[volume, segmentation, None])  # noqa: UP007
    assert list(both.nodeTypes) == ["vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"]


@pytest.mark.parametrize("annotation", ["abstract", "bar"])
def test_an_abstract_class_and_a_union_by_a_bar_cannot_be_tied(annotation):
    bar = slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSegmentationNode | None
    with pytest.raises(TypeError):
        wrapped({"abstract": slicer.vtkMRMLNode, "bar": bar}[annotation])


def test_sample_data_without_addresses_is_refused_as_by_slicer():
    register = small_modules.SampleDataLogic.registerCustomSampleDataSource
    with pytest.raises(TypeError, match="no len"):
        register(category="test", sampleName="x")
    with pytest.raises(ValueError, match="same length"):
        register(category="test", sampleName="x", uris=["a", "b"], fileNames=["a"])


def test_slicers_packaging_is_there_only_after_it_was_imported():
    code = "from headless_slicer import host; s = host.start(); print(hasattr(s, 'packaging'), end=' '); "
    code += "import slicer.packaging; print(hasattr(s, 'packaging'))"
    path = os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")])
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["False", "True"]


def test_the_environment_of_the_start_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("SET_LATER", "1")
    assert "SET_LATER" not in slicer.util.startupEnvironment()


def test_an_export_leaves_an_empty_storage_node_and_refuses_an_unknown_ending(tmp_path):
    slicer.mrmlScene.Clear()
    volume = slicer.util.addVolumeFromArray(numpy.zeros((4, 4, 4), numpy.uint8))
    assert volume.GetStorageNode() is None
    with pytest.raises(ValueError, match="no known file format"):
        slicer.util.exportNode(volume, str(tmp_path / "labels"))
    assert volume.GetStorageNode() is not None
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Commit(str(tmp_path / "scene.mrml"))
    with pytest.raises(RuntimeError, match="Failed to read node"):
        slicer.util.loadScene(str(tmp_path / "scene.mrml"))


def test_without_a_main_window_an_effect_is_not_survived():
    editor = slicer.qMRMLSegmentEditorWidget()
    with pytest.raises(RuntimeError, match="crashes"):
        editor.setActiveEffectByName("Paint")
    with MainWindow():
        editor.setActiveEffectByName("Paint")
    assert editor.activeEffect() == "Paint"


def _names(signature):
    inside = signature.strip()[1:].partition(" ->")[0]
    return [part.split(":")[0].split("=")[0].strip() for part in inside.rstrip(")").split(",") if "self" not in part]
