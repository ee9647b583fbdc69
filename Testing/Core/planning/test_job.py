"""A job runs where nothing but its folder and the packages of its requirements are."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import ConfigError
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.phantom import write_phantoms
from voxmmsd.planning.job import export_job
from voxmmsd.runs import NullRun, read_status
from voxmmsd.training.cases import labeled_entries
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

TINY = {"preset": "tiny", "channels": (4, 8), "batch": 1, "steps": 2, "workers": 1, "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder, 2, seed=3, side=32)
    return folder


def start(job, script):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return subprocess.run(
        ["bash", str(job / script)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        cwd="/",
        timeout=240,
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")
def test_a_job_runs_from_its_folder_alone(cases, tmp_path):
    config = make_config(FinetuneConfig, {**TINY, "patch": 16, "folders": (str(cases),), "run": str(tmp_path / "r")})
    job = export_job(config, tmp_path / "job")
    moved = job.rename(tmp_path / "elsewhere")
    result = start(moved, "start.sh")
    assert result.returncode == 0, result.stderr
    assert read_status(moved / "run").state == "finished"
    assert (moved / "run" / "model" / "model.onnx").is_file()
    assert not (tmp_path / "r").exists()


def test_options_name_nothing_of_this_machine(cases, tmp_path):
    config = make_config(
        PretrainConfig, {**TINY, "block": 16, "folders": (str(cases),), "run": str(tmp_path / "r"), "name": "brains"}
    )
    job = export_job(config, tmp_path / "job")
    text = (job / "job.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text and str(cases) not in text
    options = json.loads(text)
    assert options["folders"] == ["store"] and options["name"] == "brains" and "device" not in options
    assert len(list((job / "store").glob("*.json"))) == 2
    for script in ("start.sh", "start-torchrun.sh", "slurm.sh"):
        assert subprocess.run(["bash", "-n", str(job / script)]).returncode == 0
        assert "pretrain --config job.json" in (job / script).read_text(encoding="utf-8")


def test_a_model_of_a_job_is_called_after_its_run(cases, tmp_path):
    config = make_config(
        FinetuneConfig, {**TINY, "patch": 16, "folders": (str(cases),), "run": str(tmp_path / "glioma 2024")}
    )
    options = json.loads((export_job(config, tmp_path / "job") / "job.json").read_text(encoding="utf-8"))
    assert (options["name"], options["run"]) == ("glioma_2024", "run")


def test_each_folder_stays_a_cohort_of_its_own(cases, tmp_path):
    write_phantoms(tmp_path / "b" / "site", 1, seed=4, side=32)
    write_phantoms(tmp_path / "scans", 1, seed=5, side=32)
    write_phantoms(tmp_path / "a", 1, seed=6, side=32)
    prepare_cases(find_cases(tmp_path / "a").cases, tmp_path / "a" / "site", PreprocessConfig(), workers=1)
    folders = [str(tmp_path / "a" / "site"), str(tmp_path / "b" / "site"), str(tmp_path / "scans")]
    config = make_config(FinetuneConfig, {**TINY, "folders": folders, "run": "r", "balance_cohorts": True})
    job = export_job(config, tmp_path / "job")
    options = json.loads((job / "job.json").read_text(encoding="utf-8"))
    assert options["folders"] == ["store/site", "store/site-2", "store/scans"]
    assert [[one.id for one in open_store(job / place)] for place in options["folders"]] == [
        ["phantom-006-000"], ["phantom-004-000"], ["phantom-005-000"]
    ]  # fmt: skip
    packed = make_config(FinetuneConfig, {**TINY, "folders": [str(job / place) for place in options["folders"]]})
    assert {one.cohort for one in labeled_entries(packed, NullRun(tmp_path / "n"))} == {"site", "site-2", "scans"}


def test_requirements_are_those_of_the_project(cases, tmp_path):
    config = make_config(FinetuneConfig, {**TINY, "folders": (str(cases),), "run": "r"})
    job = export_job(config, tmp_path / "job")
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["train"]}
    assert set((job / "requirements.txt").read_text(encoding="utf-8").split()) == wanted


def test_a_folder_that_holds_something_is_left_alone(cases, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    config = make_config(FinetuneConfig, {**TINY, "folders": (str(cases),), "run": "r"})
    with pytest.raises(ConfigError, match="not empty"):
        export_job(config, tmp_path)
