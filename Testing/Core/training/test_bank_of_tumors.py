"""A training that pastes tumors of a bank: what it records, and which banks it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest

from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.files import write_json_atomic
from voxmmsd.models.learned import has_learned
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.planning.job import export_job
from voxmmsd.training.finetune import finetune
from voxmmsd.training_config import FinetuneConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 3, seed=0, side=32)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def bank(file, *patients):
    count = len(patients)
    label = np.zeros((count, 8, 8, 8), np.uint8)
    label[:, 3:5, 3:5, 3:5] = 4
    np.savez(file, image=np.full((count, 4, 8, 8, 8), 120, np.uint8), label=label, patient=np.array(patients))
    return file


def options(store, run, file):
    splits = run.parent / "splits.json"
    write_json_atomic(splits, {"train": ["phantom-000-000"], "validation": ["phantom-000-001"],
                               "test": ["phantom-000-002"]})  # fmt: skip
    return make_config(FinetuneConfig, {
        "folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (4, 6, 8), "patch": 16, "steps": 3,
        "device": "cpu", "threads": 1, "splits": str(splits), "tumor_bank": str(file), "transforms": ("paste:p=1",),
    })  # fmt: skip


def test_a_model_has_learned_from_the_patients_of_its_bank_whose_names_it_does_not_show(store, tmp_path):
    folder = finetune(options(store, tmp_path / "run", bank(tmp_path / "bank.npz", "Smith", "Smith", "jones")))
    package = read_package(folder)
    assert has_learned(package, SimpleNamespace(id="x-1", patient_id="smith"))
    assert has_learned(package, SimpleNamespace(id="x-2", patient_id="Jones"))
    assert not has_learned(package, SimpleNamespace(id="x-3", patient_id="miller"))
    record = (folder / "model.json").read_text(encoding="utf-8")
    assert "mith" not in record and "bank.npz" not in record
    assert "3 tumors of 2 patients" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("held", ["phantom-000-001", "phantom-000-002"])
def test_a_patient_of_the_bank_in_validation_or_test_is_refused_before_a_step(store, tmp_path, held):
    with pytest.raises(InputError, match=rf"held out for validation or test \({held}\); remove them"):
        finetune(options(store, tmp_path / "run", bank(tmp_path / "bank.npz", "one", held)))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_bank_with_tumors_of_the_training_patients_is_taken(store, tmp_path):
    assert finetune(options(store, tmp_path / "run", bank(tmp_path / "bank.npz", "phantom-000-000"))).is_dir()


def test_a_job_takes_the_bank_along(store, tmp_path):
    file = bank(tmp_path / "bank.npz", "one")
    folder = export_job(options(store, tmp_path / "run", file), tmp_path / "job")
    assert (folder / "tumor-bank.npz").read_bytes() == file.read_bytes()
    assert '"tumor_bank": "tumor-bank.npz"' in (folder / "job.json").read_text(encoding="utf-8")
    file.unlink()
    with pytest.raises(InputError, match="no such file; check the path of --tumor-bank"):
        export_job(options(store, tmp_path / "run", file), tmp_path / "another")
