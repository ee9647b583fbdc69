import numpy as np
import pytest
from patients import write_patient
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases
from voxmmsd.errors import ModelError
from voxmmsd.inference import quantize as room
from voxmmsd.inference.engines import OnnxEngine
from voxmmsd.inference.quantize import quantize, quantize_model
from voxmmsd.models import agreement
from voxmmsd.models.agreement import refuse_two_networks
from voxmmsd.models.package import read_package

CASES = {"train": ["BraTS-GLI-00001-000"], "validation": ["BraTS-GLI-00002-000"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("patients")
    for number in (1, 2):
        write_patient(place, f"BraTS-GLI-0000{number}-000", seed=number, shape_xyz=(32, 32, 32))
    return place


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy", training={"cases": CASES})


def test_eight_bits_say_nearly_the_same_from_a_file_with_integer_weights(package, folder, tmp_path):
    import onnx

    small = quantize(package, find_cases(folder).cases[:1], tmp_path / "small")
    assert read_package(small.folder).info.parent == package.info.id
    weights = [item for item in onnx.load(small.onnx).graph.initializer if len(item.dims) == 5]
    integers = [item for item in weights if item.data_type == onnx.TensorProto.INT8]
    assert len(integers) == len(weights) - 1  # the head stays as it is
    image = np.random.default_rng(0).random((1, 4, 16, 16, 16), np.float32)
    exact, near = OnnxEngine(package).logits(image), OnnxEngine(small).logits(image)
    difference = np.abs(near - exact).max() / np.abs(exact).max()
    assert 1e-5 < difference < 0.2


def test_the_verb_keeps_a_model_that_loses_little_and_says_what_it_loses(
    package, folder, tmp_path, monkeypatch, capsys
):
    scores = iter([{"WT": 0.9, "ET": None}, {"WT": 0.8975, "ET": None}])
    monkeypatch.setattr(room, "region_means", lambda cases, model, engine: next(scores))
    arguments = ["models", "quantize", str(package.folder), "--cases", str(folder), "--out", str(tmp_path / "small")]
    assert main(arguments) == 0
    assert "Dice on 1 validation case: 90.00, with 8 bits 89.75" in capsys.readouterr().out
    kept = read_package(tmp_path / "small").info
    assert kept.id == "toy-1-int8"
    assert kept.scores["validation"] == {"cases": 1, "regions": {"WT": 0.8975, "ET": None}}
    assert 0 < kept.training["quantized"]["largest_difference"] < kept.training["quantized"]["allowed"] == 0.2
    assert "quantized: largest_difference 0." in (tmp_path / "small" / "MODEL_CARD.md").read_text()


def test_eight_bits_of_the_package_pass_an_import_and_say_where_they_were_not_compared(
    package, folder, tmp_path, monkeypatch
):
    small = quantize(package, find_cases(folder).cases[:1], tmp_path / "small")
    assert refuse_two_networks(small) == ""
    monkeypatch.setattr(agreement, "find_spec", lambda _: None)
    assert "needs torch" in refuse_two_networks(small)


def test_a_model_that_loses_more_than_three_tenths_of_a_point_is_not_written(package, folder, tmp_path, monkeypatch):
    scores = iter([{"WT": 0.9}, {"WT": 0.8965}])
    monkeypatch.setattr(room, "region_means", lambda cases, model, engine: next(scores))
    with pytest.raises(ModelError, match=r"more than 0\.3 points are lost"):
        quantize_model(str(package.folder), folder, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_folder_that_is_there_is_refused_before_anything_is_computed(package, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "region_means", lambda cases, model, engine: pytest.fail("was computed"))
    with pytest.raises(ModelError, match="exists already"):
        quantize_model(str(package.folder), folder, tmp_path)
