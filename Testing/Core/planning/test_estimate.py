"""The estimate is made of what was measured; nothing of the measurement stays."""

import json
from dataclasses import replace

import numpy as np
import pytest
from toy_models import relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.files import sha256_of
from voxmmsd.phantom import write_phantoms
from voxmmsd.planning.estimate import TOO_LONG_SECONDS, Estimate, estimate
from voxmmsd.training.finetune import finetune
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

TINY = {"preset": "tiny", "channels": (4, 8), "batch": 1, "device": "cpu", "threads": 1, "workers": 1}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder, 5, seed=3, side=32)
    return folder


@pytest.fixture(scope="module")
def store(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    prepare_cases(find_cases(cases).cases, folder, workers=1)
    return folder


def options(cases, tmp_path, **changes):
    return {**TINY, "folders": (str(cases),), "run": str(tmp_path / "run"), **changes}


def test_more_steps_take_longer_and_nothing_is_left(cases, tmp_path):
    config = make_config(FinetuneConfig, options(cases, tmp_path, patch=16, steps=1000))
    found = estimate(config)
    assert found.cases == 5 and found.device == "cpu"
    assert found.seconds > 1000 * found.step_seconds > 0
    assert found.prepare_seconds > 0
    assert found.memory_bytes > 2**27 and found.disk_bytes > 5 * 5 * 20**3  # five arrays a case, cropped to the brain
    assert not (tmp_path / "run").exists()
    assert found.problems() == []


def test_pretraining_is_estimated_by_the_verb(cases, tmp_path, capsys):
    file = tmp_path / "options.json"
    given = options(cases, tmp_path, block=16, pairs=16, candidates=4096, steps=10)
    file.write_text(json.dumps({**given, "channels": [4, 8], "folders": [str(cases)]}), encoding="utf-8")
    assert main(["estimate", "pretrain", str(file), "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["cases"] == 5 and record["seconds"] > 0 and record["problems"] == []
    assert make_config(PretrainConfig, {}, file).block == 16


def test_the_case_is_prepared_at_the_voxel_size_of_the_model_it_starts_from(cases, tmp_path):
    """Measured at another one, steps and sizes would be those of another training."""
    fine = toy_package(tmp_path / "fine")
    coarse = relabeled_package(fine, tmp_path / "coarse", preprocess=replace(fine.info.preprocess, spacing_mm=2.0))
    given = options(cases, tmp_path, patch=16, channels=fine.info.network.channels)
    at_1_mm, at_2_mm = (
        estimate(make_config(FinetuneConfig, {**given, "start": str(model.folder)})) for model in (fine, coarse)
    )
    assert at_1_mm.disk_bytes - at_2_mm.disk_bytes > 5 * 5 * 20**3 / 2  # of five arrays a case, seven eighths


def test_a_bank_with_tumors_of_training_patients_is_none_of_held_out_ones(store, tmp_path):
    ids = [entry.id for entry in open_store(store)]
    label = np.zeros((1, 8, 8, 8), np.uint8)
    label[:, 3:5, 3:5, 3:5] = 4
    image = np.full((1, 4, 8, 8, 8), 120, np.uint8)
    np.savez(tmp_path / "bank.npz", image=image, label=label, patient=np.array(ids[:1]))
    (tmp_path / "splits.json").write_text(json.dumps({"train": ids[:4], "validation": ids[4:]}))
    given = {"splits": str(tmp_path / "splits.json"), "tumor_bank": str(tmp_path / "bank.npz"), "steps": 1}
    config = make_config(FinetuneConfig, options(store, tmp_path, patch=16, **given))
    assert estimate(config).cases == 5
    assert finetune(config).is_dir(), "as the training itself takes it"


def test_labels_are_mapped_onto_the_schema_of_the_model(store, tmp_path):
    """The case that is measured knows the whole tumor alone, which is nothing to repaint a tissue of."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    entry = open_store(store)[0]
    array = np.load(entry.array_file)
    array[4] = array[4] > 0
    np.save(elsewhere / "other.npy", array)
    record = json.loads((store / f"{entry.id}.json").read_text(encoding="utf-8"))
    digest = sha256_of(elsewhere / "other.npy")
    record |= {
        "id": "other",
        "patient_id": "other",
        "image_hash": "other",
        "schema": "whole-tumor",
        "array_sha256": digest,
    }
    (elsewhere / "other.json").write_text(json.dumps(record), encoding="utf-8")
    given = options(elsewhere, tmp_path, patch=16, steps=1, transforms=("non-enhancing:p=0.5",))
    given |= {"folders": (str(elsewhere), str(store)), "target_schema": "brats-gli-2023"}
    assert estimate(make_config(FinetuneConfig, given)).cases == 6
    start = finetune(make_config(FinetuneConfig, {**given, "run": str(tmp_path / "start")}))
    of_the_start = make_config(FinetuneConfig, {**given, "target_schema": "", "start": str(start)})
    assert estimate(of_the_start).cases == 6


def test_what_makes_no_sense_is_said_with_the_way_out():
    sound = Estimate(3, "cpu", 1.0, 60.0, 0.0, 10, 20, 10, 20)
    assert sound.problems() == []
    assert "disk about 3 MiB of 20.0 GiB" in replace(sound, disk_bytes=3 << 20, free_disk_bytes=20 << 30).text()
    long = replace(sound, seconds=TOO_LONG_SECONDS + 1, memory_bytes=30, disk_bytes=30)
    assert long.problems() == ["too long", "memory", "disk"]
    assert "voxmmsd job" in long.text()
    assert replace(long, device="cuda").problems() == ["memory", "disk"]


def test_without_a_case_there_is_nothing_to_measure(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        estimate(make_config(FinetuneConfig, options(tmp_path / "empty", tmp_path)))
