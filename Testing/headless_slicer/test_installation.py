"""The extension as Slicer installs it: a file that no list names is missing here, and what needs it fails."""

import json
import os
import re
import struct
import subprocess
import sys

import pytest

from headless_slicer.host import MODULES, REPOSITORY

STAND_INS = REPOSITORY / "Testing" / "headless_slicer" / "cmake"
PLACE = "lib/Slicer-5.12/qt-scripted-modules"
# No compiler is needed to copy Python files; `project()` would look for one all the same.
ANY_PROGRAM = sys.executable
NO_COMPILER = [f"-DCMAKE_{one}_COMPILER{value}" for one in ("C", "CXX") for value in (f"={ANY_PROGRAM}", "_FORCED=ON")]

# Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json of Slicer: key -> type, of an entry that has no other keys.
ENTRY = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


# An editable install of voxmmsd finds, also for a package that lies elsewhere, each file that is missing there.
NO_EDITABLE = "import sys\nsys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of modules after CMake has configured and installed the extension."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("installed")
    options = [f"-DSlicer_DIR={STAND_INS}", "-DBUILD_TESTING=ON", "-G", "Unix Makefiles", *NO_COMPILER]
    cmake("-S", REPOSITORY, "-B", build, *options)
    cmake("--install", build, "--prefix", prefix)
    (prefix / PLACE / "sitecustomize.py").write_text(NO_EDITABLE, encoding="utf-8")  # imported at each start
    return prefix / PLACE


def cmake(*words):
    done = run([sys.executable, "-m", "cmake", *map(str, words)])
    assert done.returncode == 0, done.stdout + done.stderr


def run(command, **environment):
    """Away from the repository, since Python looks in the folder that it is started in."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=STAND_INS,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**kept, **environment},
        timeout=600,
    )


def test_modules_core_and_library_lie_side_by_side(installed):
    for file in ("VoxMMSDSegment.py", "VoxMMSDTrain.py", "voxmmsd/__init__.py", "VoxMMSDLib/__init__.py"):
        assert (installed / file).is_file()
    assert (installed / "Resources" / "UI" / "VoxMMSDSegment.ui").is_file()
    modules = {file.stem for file in installed.glob("*.py")} - {"sitecustomize"}
    assert modules == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_from_the_installed_tree_alone(installed, tmp_path, name):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from headless_slicer import host\n"
        f"host.start(); host.load_module({name!r}, Path({str(installed)!r})); host.open_widget({name!r}).cleanup()\n"
        "import voxmmsd, VoxMMSDLib\n"
        "print(voxmmsd.__file__, VoxMMSDLib.__file__)\n"
    )
    paths = os.pathsep.join([str(REPOSITORY / "Testing"), str(installed)])
    done = run([sys.executable, "-c", code], PYTHONPATH=paths, VOXMMSD_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert all(place.startswith(str(installed)) for place in done.stdout.splitlines()[-1].split())


def test_the_installed_core_segments_a_patient(installed, tmp_path):
    def voxmmsd(*words):
        command = [sys.executable, "-m", "voxmmsd", *map(str, words)]
        done = run(command, PYTHONPATH=str(installed), VOXMMSD_HOME=str(tmp_path / "home"))
        assert done.returncode == 0, done.stderr

    voxmmsd("phantom", tmp_path / "new", "--count", 1, "--shape", 32)
    model = REPOSITORY / "Testing" / "Slicer" / "toy-model.zip"
    voxmmsd("segment", tmp_path / "new", "--out", tmp_path / "results", "--model", model, "--engine", "onnx", "--force")
    assert [file.name for file in (tmp_path / "results").glob("*.nii.gz")] == ["phantom-000-000-voxmmsd.nii.gz"]


def test_every_module_of_the_core_can_be_imported_where_it_was_installed(installed):
    files = sorted(file.relative_to(REPOSITORY) for file in (REPOSITORY / "voxmmsd").rglob("*.py"))
    names = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    wanted = [name for name in names if not name.endswith("__main__")]
    done = run([sys.executable, "-c", code, *wanted], PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr


def test_the_entry_of_the_extensions_index_keeps_its_schema_and_rules():
    entry = json.loads((REPOSITORY / "VoxMMSD.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(ENTRY)
    assert [key for key, value in entry.items() if not isinstance(value, ENTRY[key])] == []
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["scm_type"] in ("git", "local") and 1 <= entry["tier"] <= 5
    # scripts/check_description_files.py of the index: a known category, "slicer" in the repository's name.
    assert entry["category"] == "Segmentation"
    assert re.fullmatch(r"https://[^/]+/[^/]+/Slicer\w+\.git", entry["scm_url"])
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"^project\((\w+)\)", text, re.MULTILINE).group(1) == "VoxMMSD"
    assert entry["build_dependencies"] == re.search(r'EXTENSION_DEPENDS "([^"]+)"', text).group(1).split()
    assert (REPOSITORY / "LICENSE").is_file()


def test_the_icon_and_the_screenshots_that_the_index_shows_are_in_the_repository():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    urls = re.findall(r"https://raw\.githubusercontent\.com/\w+/\w+/main/([\w/.-]+)", text)
    assert urls[0] == "Resources/VoxMMSD.png" and len(urls) > 1
    assert [url for url in urls if not (REPOSITORY / url).is_file()] == []
    head = (REPOSITORY / urls[0]).read_bytes()[:24]
    assert head[1:4] == b"PNG" and struct.unpack(">II", head[16:24]) == (128, 128)


def test_the_repository_stays_far_below_the_indexs_limit_of_100_megabytes():
    listed = run(["git", "-C", str(REPOSITORY), "ls-files", "-z"])
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 20 * 2**20
