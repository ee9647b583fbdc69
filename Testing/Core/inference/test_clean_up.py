import json

import numpy as np
import pytest
from patients import write_patient
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError
from voxmmsd.inference.clean_up import cleaned, parse_min_component, without_small
from voxmmsd.inference.engines import OnnxEngine
from voxmmsd.inference.predict import predict
from voxmmsd.labels import schema_named

SCHEMA = schema_named("brats-gli-2023")  # 1 NCR, 2 ED, 3 ET
GRID = Grid((12, 12, 12), np.diag([2.0, 2.0, 2.5, 1.0]))  # a voxel is 0.01 ml


def drawn(*boxes):
    label = np.zeros(GRID.shape_zyx, np.uint8)
    for value, start, size in boxes:
        label[tuple(slice(s, s + size) for s in start)] = value
    return label


def test_components_below_the_size_become_what_is_around_them_and_others_stay():
    label = drawn((2, (1, 1, 1), 8), (3, (2, 2, 2), 2), (3, (6, 6, 6), 1), (3, (11, 11, 11), 1))
    result, removed = without_small(label, SCHEMA, GRID, {"ET": 0.05})
    assert result[6, 6, 6] == 2, "within edema it becomes edema"
    assert result[11, 11, 11] == 0, "alone it becomes background"
    assert (result == 3).sum() == 8
    assert removed == {"ET": [pytest.approx(0.01), pytest.approx(0.01)]}
    assert (label == 3).sum() == 10, "the given map is left alone"


def test_a_component_of_exactly_the_size_stays():
    label = drawn((3, (2, 2, 2), 2))
    assert (without_small(label, SCHEMA, GRID, {"ET": 0.08})[0] == 3).sum() == 8
    assert not without_small(label, SCHEMA, GRID, {"ET": 0.0801})[0].any()


def test_voxels_that_touch_by_a_corner_are_one_component():
    label = drawn((1, (2, 2, 2), 1), (1, (3, 3, 3), 1))
    assert (without_small(label, SCHEMA, GRID, {"NCR": 0.02})[0] == 1).sum() == 2


def test_inner_labels_go_first_so_that_a_speck_in_a_speck_counts_to_it():
    label = drawn((1, (2, 2, 2), 3), (3, (3, 3, 3), 1))  # 26 voxels of necrosis around one that enhances
    result, _ = without_small(label, SCHEMA, GRID, {"NCR": 0.27, "ET": 0.05})
    assert (result == 1).sum() == 27


def test_what_a_rule_says_is_read_and_what_it_cannot_mean_is_refused():
    assert parse_min_component(("ET=0.05", "ED=1"), SCHEMA) == {"ET": 0.05, "ED": 1.0}
    for text in ("RC=1", "ET", "ET=much"):
        with pytest.raises(ConfigError, match=rf"--min-component {text}: expected LABEL=ML.*NCR, ED, ET"):
            parse_min_component((text,), SCHEMA)


def test_picture_and_volumes_show_the_label_that_was_cleaned_up(tmp_path):
    write_patient(tmp_path / "in")
    package = toy_package(tmp_path / "toy")
    (case,) = find_cases(tmp_path / "in").cases
    plain = predict(read_case(case, with_label=False), package, OnnxEngine(package))
    clean = cleaned(plain, {"NCR": 100, "ED": 100, "ET": 100})
    for before, after in ((plain.label_zyx, clean.label_zyx), (plain.prepared_label_zyx, clean.prepared_label_zyx)):
        assert before.any()
        assert not after.any()
    assert not any(clean.volumes_ml.values())


def test_segment_cleans_up_when_asked_and_its_record_says_so(tmp_path):
    write_patient(tmp_path / "in")
    package = toy_package(tmp_path / "toy")
    options = ["segment", str(tmp_path / "in"), "--model", str(package.folder), "--engine", "onnx", "--out"]
    assert main([*options, str(tmp_path / "bad"), "--min-component", "XX=1"]) == 2
    assert main([*options, str(tmp_path / "plain")]) == 0
    assert main([*options, str(tmp_path / "clean"), "--min-component", "NCR=100", "ED=100", "ET=100"]) == 0
    plain, clean = (
        json.loads(next((tmp_path / name).glob("*-voxmmsd.json")).read_text(encoding="utf-8"))
        for name in ("plain", "clean")
    )
    assert plain["volumes_ml"]["WT"] > 0
    assert clean["volumes_ml"]["WT"] == 0
    assert any(text.startswith("cleaned up: components of NCR below 100 ml") for text in clean["findings"])
    assert not any("cleaned up" in text for text in plain["findings"])
