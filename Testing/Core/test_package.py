"""What is handed out: wheel, sdist and bundle, installed where nothing else is and no index can be reached."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY

from voxmmsd.offline.bundle import make_bundle
from voxmmsd.offline.contents import this_python

pytestmark = pytest.mark.long
MODEL = REPOSITORY / "Testing" / "Slicer" / "toy-model.zip"
NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_RETRIES": "0",
    "PYTHONPATH": "",
}


def run(*words, folder=None, **environment):
    command = [str(word) for word in words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, encoding="utf-8", env={**os.environ, **environment}, timeout=1200
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """(Python, its home) of a new environment that a bundle was installed into, without network."""
    place = tmp_path_factory.mktemp("offline")
    environment = {**NO_INDEX, "VOXMMSD_HOME": str(place / "home")}
    made = ["bundle", "--out", place / "hospital.zip", "--models", MODEL]
    run(sys.executable, "-m", "voxmmsd", *made, VOXMMSD_HOME=str(place / "maker"))
    run(sys.executable, "-m", "venv", place / "venv")
    python = place / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    said = run(python, place / "hospital.zip", folder=place, **environment)
    assert "voxmmsd models accept toy" in said
    return python, environment


def test_a_bundle_installs_and_segments_where_no_index_can_be_reached(hospital, tmp_path):
    python, environment = hospital
    model = run(python, "-m", "voxmmsd", "models", "list", folder=tmp_path, **environment).splitlines()[1].split()[0]
    run(python, "-m", "voxmmsd", "models", "accept", model, folder=tmp_path, **environment)
    run(python, "-m", "voxmmsd", "phantom", "new", "--count", 1, "--shape", 32, folder=tmp_path, **environment)
    run(python, "-m", "voxmmsd", "segment", "new", "--out", "results", "--force", folder=tmp_path, **environment)
    assert len(list((tmp_path / "results").glob("*-voxmmsd.nii.gz"))) == 1


def test_segmenting_needed_no_torch(hospital, tmp_path):
    code = "import importlib.util as u, voxmmsd; print(u.find_spec('torch'), u.find_spec('monai'), voxmmsd.__file__)"
    python, environment = hospital
    torch, monai, place = run(python, "-c", code, folder=tmp_path, **environment).split()
    assert (torch, monai) == ("None", "None")
    assert Path(place).is_relative_to(Path(python).parents[1])


def test_wheel_and_sdist_hold_every_file_of_the_core_and_the_wheel_no_other(tmp_path):
    (tmp_path / "shelf").mkdir()
    build = "import sys; from setuptools import build_meta as b; b.build_sdist(sys.argv[1])"
    files = {file.relative_to(REPOSITORY).as_posix() for file in (REPOSITORY / "voxmmsd").rglob("*") if file.is_file()}
    wanted = {name for name in files if "__pycache__" not in name and not name.endswith("CMakeLists.txt")}
    source = tmp_path / "source"
    run("git", "clone", "--quiet", "--no-hardlinks", REPOSITORY, source)
    run(sys.executable, "-c", build, tmp_path / "shelf", folder=source)
    sdist = next((tmp_path / "shelf").glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        assert wanted <= {name.partition("/")[2] for name in archive.getnames()}
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path / "shelf", sdist
    )
    with zipfile.ZipFile(next((tmp_path / "shelf").glob("*.whl"))) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wanted


def test_a_wheel_is_built_of_the_source_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("voxmmsd.offline.bundle._download", lambda *given: None)
    contents = make_bundle(tmp_path / "own.zip", [])
    assert contents.python == this_python()
    assert [name for name in contents.files if name.startswith("wheels/voxmmsd-")]
