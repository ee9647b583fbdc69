"""An ONNX file is looked at before a runtime sees it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from voxmmsd.errors import ModelError
from voxmmsd.models.onnx_graph import refuse_strange_graph


def written(tmp_path, *nodes, tensors=(), functions=(), domains=("",)):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "g",
        [value("image", TensorProto.FLOAT, [1])],
        [value("logits", TensorProto.FLOAT, [1])],
        list(tensors),
    )
    imports = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def body():
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [helper.make_node("Identity", ["image"], ["y"])], "b", [], [value("y", TensorProto.FLOAT, [1])]
    )


def test_a_plain_graph_is_taken(tmp_path):
    refuse_strange_graph(written(tmp_path, helper.make_node("Relu", ["image"], ["logits"])))


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_control_flow_is_refused(tmp_path, operator):
    node = helper.make_node(operator, ["image"], ["logits"])
    with pytest.raises(ModelError, match=operator):
        refuse_strange_graph(written(tmp_path, node))


def test_graphs_within_operators_are_refused(tmp_path):
    node = helper.make_node("If", ["image"], ["logits"], then_branch=body(), else_branch=body())
    with pytest.raises(ModelError, match="graphs within operators"):
        refuse_strange_graph(written(tmp_path, node))


def test_operators_of_others_are_refused(tmp_path):
    node = helper.make_node("Shell", ["image"], ["logits"], domain="com.example")
    with pytest.raises(ModelError, match=r"com\.example"):
        refuse_strange_graph(written(tmp_path, node, domains=("", "com.example")))


def test_tensors_in_other_files_are_refused(tmp_path):
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "elsewhere.bin")
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(ModelError, match="outside itself"):
        refuse_strange_graph(written(tmp_path, helper.make_node("Relu", ["image"], ["logits"]), tensors=[tensor]))


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"not an onnx file at all"])
def test_what_is_no_onnx_file_is_said_to_be_none(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"is (empty|not an ONNX file)"):
        refuse_strange_graph(tmp_path / "model.onnx")
