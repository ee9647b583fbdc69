"""``models calibrate``: which cases are used, what is recorded, and that labels stay as they are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from patients import write_patient
from toy_models import relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import InputError, ModelError
from voxmmsd.inference.calibrate import calibrate_model
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.predict import predict
from voxmmsd.models import registry
from voxmmsd.models.package import RECORD, read_package
from voxmmsd.models.provenance import CALIBRATION

IDS = ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "BraTS-GLI-00003-000")
CASES = {"train": ["BraTS-GLI-00001"], "validation": ["BraTS-GLI-00002"], "test": []}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("cases") / "in"
    for seed, id_ in enumerate(IDS):
        write_patient(place, id_, seed=seed)
    return place


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy", training={"cases": CASES})


@pytest.fixture
def package(toy, tmp_path):
    return relabeled_package(toy, tmp_path / "toy")


def recorded(package):
    return read_package(package.folder).info.training[CALIBRATION]


def test_the_models_validation_cases_are_used_whether_prepared_or_not(folder, package, tmp_path):
    calibrate_model(str(package.folder), [folder], device="cpu")
    first = recorded(package)
    assert (first["cases"], first["known"]) == ([IDS[1]], [])
    prepare_cases(find_cases(folder).cases, tmp_path / "store", package.info.preprocess, workers=1)
    calibrate_model(str(package.folder), [tmp_path / "store"], device="cpu")
    assert recorded(package)["temperature"] == first["temperature"] != 1


def test_a_run_that_was_accepted_is_calibrated_in_the_registry_too(folder, package):
    accepted = registry.accept(package)
    text = calibrate_model(str(package.folder), [folder], device="cpu")
    assert str(accepted.folder) in text and str(package.folder) in text
    assert registry.resolve_model().info.temperature == recorded(package)["temperature"] != 1


def test_cases_that_the_model_learned_from_are_named_as_such(folder, package, tmp_path):
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": ["elsewhere"], "validation": list(IDS[:2])}))
    text = calibrate_model(str(package.folder), [folder], splits, device="cpu")
    assert recorded(package)["known"] == [IDS[0]]
    assert "selected by 1 of these cases" in text


def test_the_card_and_the_result_tell_the_temperature(folder, package, tmp_path, capsys):
    assert main(["models", "calibrate", str(package.folder), "--cases", str(folder), "--device", "cpu"]) == 0
    temperature = recorded(package)["temperature"]
    assert f"temperature {temperature:g}: the expected calibration error" in capsys.readouterr().out
    assert f"temperature {temperature}" in (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    call = ["segment", folder / IDS[2], "--out", tmp_path / "out", "--model", package.folder, "--force"]
    assert main([str(each) for each in call]) == 0
    result = json.loads((tmp_path / "out" / f"{IDS[2]}-voxmmsd.json").read_text(encoding="utf-8"))
    assert result["model"]["temperature"] == temperature


@pytest.mark.parametrize("spacing", [1.0, 1.5])
def test_labels_stay_and_probabilities_and_uncertainty_follow_the_temperature(folder, toy, spacing):
    preprocess = replace(toy.info.preprocess, spacing_mm=spacing)
    plain = replace(toy, info=replace(toy.info, preprocess=preprocess))
    warm = replace(plain, info=replace(plain.info, training={CALIBRATION: {"temperature": 3.0}}))
    volumes, engine = read_case(find_cases(folder).cases[0]), open_engine(toy, "onnx")
    before, after = (
        predict(volumes, package, engine, probabilities=True, uncertainty=True) for package in (plain, warm)
    )
    assert np.array_equal(before.label_zyx, after.label_zyx)
    inside = before.probabilities_czyx[0] < 1
    assert (before.probabilities_czyx.max(axis=0) > after.probabilities_czyx.max(axis=0) + 1e-4)[inside].mean() > 0.9
    assert before.uncertainty_zyx.sum() < after.uncertainty_zyx.sum()


def test_without_a_validation_case_it_is_refused(folder, package, tmp_path):
    (tmp_path / "splits.json").write_text('{"validation": ["BraTS-GLI-00009"]}')
    with pytest.raises(InputError, match="validation lists BraTS-GLI-00009, no case"):
        calibrate_model(str(package.folder), [folder], tmp_path / "splits.json")
    other = relabeled_package(package, tmp_path / "other", training={"cases": {}})
    with pytest.raises(InputError, match="none of 3 cases is a validation case with a labeled tumor; give the folder"):
        calibrate_model(str(other.folder), [folder])


def test_a_store_of_other_voxels_is_refused(folder, package, tmp_path):
    prepare_cases(
        find_cases(folder).cases[:1], tmp_path / "store", replace(package.info.preprocess, spacing_mm=2.0), workers=1
    )
    with pytest.raises(InputError, match="was prepared at 2 mm, toy-1 works at 1 mm; give the folder"):
        calibrate_model(str(package.folder), [tmp_path / "store"])


@pytest.mark.parametrize("temperature", [0, -1, "hot", None])
def test_a_record_of_no_temperature_is_refused(package, tmp_path, temperature):
    record = json.loads((package.folder / RECORD).read_text(encoding="utf-8"))
    record["training"][CALIBRATION] = {"temperature": temperature}
    (package.folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match=r"divides logits by|not a model's record"):
        read_package(package.folder)
