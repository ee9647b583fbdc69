"""A package from elsewhere is one network, not two."""

import json
import shutil
from hashlib import sha256

import pytest
from onnx import TensorProto, helper
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.errors import ModelError
from voxmmsd.models import agreement
from voxmmsd.models.agreement import refuse_two_networks
from voxmmsd.models.package import read_package


@pytest.fixture
def package(tmp_path):
    return toy_package(tmp_path / "toy")


def with_network(package, content, id_=""):
    """Another ONNX file whose checksum fits."""
    folder = shutil.copytree(package.folder, package.folder.with_name("other"))
    (folder / "model.onnx").write_bytes(content)
    record = json.loads((folder / "model.json").read_text())
    record["id"] = id_ or record["id"]
    record["files"]["model.onnx"] = sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def identity():
    value = helper.make_tensor_value_info
    sides = ["b", 4, "z", "y", "x"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["logits"])],
        "g",
        [value("image", TensorProto.FLOAT, sides)],
        [value("logits", TensorProto.FLOAT, sides)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_two_networks_of_a_package_agree(package):
    assert refuse_two_networks(package) == ""


def test_a_network_that_does_nothing_is_no_model_s(package, capsys):
    folder = with_network(package, identity())
    with pytest.raises(ModelError, match="different networks"):
        refuse_two_networks(read_package(folder))
    assert main(["models", "import", str(folder)]) == 2
    assert "different networks" in capsys.readouterr().err


def test_neither_is_one_that_says_to_have_eight_bits(package):
    folder = with_network(package, identity(), "toy-1-int8")
    with pytest.raises(ModelError, match=r"different networks .* allowed are 20 %"):
        refuse_two_networks(read_package(folder))


def test_nor_are_eight_bits_of_another_training(package, tmp_path):
    other = toy_package(tmp_path / "seen-other", seed=1)
    folder = with_network(package, other.onnx.read_bytes(), "toy-1-int8")
    with pytest.raises(ModelError, match="different networks"):
        refuse_two_networks(read_package(folder))


def test_where_torch_is_missing_it_is_said_that_nothing_was_compared(package, monkeypatch):
    monkeypatch.setattr(agreement, "find_spec", lambda _: None)
    assert "needs torch" in refuse_two_networks(package)
