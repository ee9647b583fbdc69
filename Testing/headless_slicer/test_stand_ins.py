"""The stand-ins behave as PythonQt was observed to, and offer nothing that real Slicer lacks."""

import inspect
import sys

import pytest

from headless_slicer import api, ctk_module, host, mrml_widgets, pythonqt, scripted, small_modules
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


def _names(signature):
    inside = signature.strip()[1:].partition(" ->")[0]
    return [part.split(":")[0].split("=")[0].strip() for part in inside.rstrip(")").split(",") if "self" not in part]
