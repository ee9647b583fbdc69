"""What is handed out: wheel, sdist and bundle, installed where nothing else is and no index can be reached."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.metadata import Metadata

from voxmmsd.models.package import read_package
from voxmmsd.models.registry import BUNDLED
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


def new_environment(folder):
    """The Python of an environment that holds nothing."""
    run(sys.executable, "-m", "venv", folder)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """(Python, its home) of a new environment that a bundle was installed into, without network."""
    place = tmp_path_factory.mktemp("offline")
    environment = {**NO_INDEX, "VOXMMSD_HOME": str(place / "home")}
    made = ["bundle", "--out", place / "hospital.zip", "--models", MODEL]
    run(sys.executable, "-m", "voxmmsd", *made, VOXMMSD_HOME=str(place / "maker"))
    python = new_environment(place / "venv")
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


@pytest.fixture
def source(tmp_path):
    """The files of the repository as they are now, and a starter model: the bundled one, else a toy in its place."""
    listed = run("git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (REPOSITORY / name).is_file():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, tmp_path / "source" / name)
    bundled = tmp_path / "source" / BUNDLED.relative_to(REPOSITORY)
    if not list(bundled.glob("*/model.json")):
        with zipfile.ZipFile(MODEL) as archive:
            archive.extractall(bundled)
    return tmp_path / "source"


def test_pip_install_dot_gives_the_command_which_segments_by_the_starter_model_without_torch(source, tmp_path):
    python = new_environment(tmp_path / "venv")
    environment = {"PYTHONPATH": "", "PIP_CONSTRAINT": str(REPOSITORY / "constraints.txt")}
    environment |= {"VOXMMSD_HOME": str(tmp_path / "home"), "VOXMMSD_BUNDLED": ""}  # the one that comes along
    run(python, "-m", "pip", "install", "--quiet", ".", folder=source, **environment)
    command = python.with_name("voxmmsd.exe" if sys.platform == "win32" else "voxmmsd")
    run(command, "phantom", "new", "--count", 1, "--shape", 32, folder=tmp_path, **environment)
    run(command, "segment", "new", "--out", "results", "--force", folder=tmp_path, **environment)
    (record,) = (tmp_path / "results").glob("*-voxmmsd.json")
    starters = {read_package(file.parent).info.id for file in source.glob("voxmmsd/models/bundled/*/model.json")}
    assert json.loads(record.read_text(encoding="utf-8"))["model"]["id"] in starters
    installed = run(python, "-m", "pip", "list", folder=tmp_path, **environment)
    assert "voxmmsd" in installed and not {"torch", "monai"} & set(installed.split())


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
        (about,) = (name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO"))
        assert_is_accepted_by_an_index(archive.extractfile(about).read())
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path / "shelf", sdist
    )
    with zipfile.ZipFile(next((tmp_path / "shelf").glob("*.whl"))) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wanted
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert_is_accepted_by_an_index(archive.read(about))


def assert_is_accepted_by_an_index(about):
    """What `twine check` and the index look at."""
    found = Metadata.from_email(about, validate=True)
    assert found.name == "voxmmsd" and found.license_expression == "Apache-2.0"
    assert found.description_content_type == "text/markdown" and "# SlicerVoxMMSD" in found.description


def test_a_wheel_is_built_of_the_source_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("voxmmsd.offline.bundle._download", lambda *given: None)
    contents = make_bundle(tmp_path / "own.zip", [])
    assert contents.python == this_python()
    assert [name for name in contents.files if name.startswith("wheels/voxmmsd-")]
