"""The extension as Slicer installs it: a file that no list names is missing here, and what needs it fails."""

import json
import os
import re
import struct
import subprocess
import sys

import pytest

from headless_slicer import extension_archive
from headless_slicer.host import MODULES, REPOSITORY

PLACE = "lib/Slicer-5.12/qt-scripted-modules"

# Keys of an entry and what they may be, after Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json of Slicer and
# scripts/check_description_files.py of the Extensions Index (category, address, license).
STRINGS = ("$schema", "category", "scm_url", "scm_revision", "scm_type", "dicom_support_rule", "build_subdirectory")
ENTRY = {
    **{key: lambda value: isinstance(value, str) for key in STRINGS},
    "$schema": lambda value: str(value).endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#"),
    "category": lambda value: (
        value in ("Segmentation", "Neuroimaging", "Active Learning")
    ),  # of those that the index has
    "scm_url": lambda value: re.fullmatch(r"(https|git)://[^/]+/([^/]+/)*[^/]*slicer[^/]*", str(value), re.IGNORECASE),
    "scm_type": lambda value: value in ("git", "local"),
    "build_dependencies": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "enabled": lambda value: isinstance(value, bool),
    "tier": lambda value: type(value) is int and 1 <= value <= 5,
}
REQUIRED = ("$schema", "category", "scm_url")


def faults(entry):
    """Keys of an entry of the Extensions Index that are missing, unknown or not what they may be."""
    wrong = [key for key, value in entry.items() if key not in ENTRY or not ENTRY[key](value)]
    return [*(key for key in REQUIRED if key not in entry), *wrong]


# An editable install of voxmmsd finds, also for a package that lies elsewhere, each file that is missing there.
NO_EDITABLE = "import sys\nsys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of modules after CMake has configured and installed the extension."""
    prefix = tmp_path_factory.mktemp("installed")
    extension_archive.install(tmp_path_factory.mktemp("build"), prefix, "5.12")
    (prefix / PLACE / "sitecustomize.py").write_text(NO_EDITABLE, encoding="utf-8")  # imported at each start
    return prefix / PLACE


def run(command, **environment):
    """Away from the repository, since Python looks in the folder that it is started in."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=extension_archive.STAND_INS,
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


# In Slicer as in the host: both modules open, and one patient is segmented by the buttons.
APPLY = """
import os, sys, traceback
from pathlib import Path
import slicer
import VoxMMSDSegment, VoxMMSDTrain, voxmmsd
from VoxMMSDSegmentLib import sample
def take_down(panel):
    panel.cleanup()
    slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", panel._onModuleAboutToBeUnloaded)
    panel.parent.delete()
def live(condition):
    import time
    end = time.monotonic() + 300
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.02)
def apply():
    train = slicer.util.getNewModuleWidget("VoxMMSDTrain")
    take_down(train)
    sample.make()
    panel = slicer.util.getNewModuleWidget("VoxMMSDSegment")
    panel.ui.findButton.click()
    live(lambda: not panel.segment_tab.is_searching)
    live(lambda: panel.ui.applyButton.enabled)  # the models are read in a thread
    panel.ui.applyButton.click()
    live(lambda: panel.segment_tab.job is None)
    print("segmented:", panel.parameters.result is not None, panel.ui.errorLabel.text)
    take_down(panel)
try:
    apply()
    print("lies in:", os.path.dirname(VoxMMSDSegment.__file__), os.path.dirname(os.path.dirname(voxmmsd.__file__)))
except Exception:
    traceback.print_exc()
"""


@pytest.mark.parametrize("system", ["linux", "macosx"])
def test_an_archive_is_laid_out_as_the_extensions_manager_wants_it(tmp_path, system):
    archive = extension_archive.make(tmp_path, series="5.13", revision="34500", system=system, architecture="amd64")
    assert re.fullmatch(rf"34500-{system}-amd64-VoxMMSD-git\w*\.tar\.gz", archive.name)
    extension = extension_archive.unpack(archive, tmp_path, system)
    assert extension == tmp_path / "VoxMMSD"
    modules = extension_archive.modules_in(extension, "5.13")
    assert {file.stem for file in modules.glob("*.py")} == set(MODULES)
    lines = (extension / "share" / "Slicer-5.13" / "VoxMMSD.s4ext").read_text(encoding="utf-8").splitlines()
    told = dict(line.partition(" ")[::2] for line in lines)
    assert told["depends"] == "PyTorch" and told["category"] == "Segmentation" and told["scm"] == "git"
    assert told["scmurl"] == our_entry()["scm_url"] and told["enabled"] == "1"
    assert all(told[word] for word in ("homepage", "contributors", "description", "iconurl", "screenshoturls"))


@pytest.mark.long
def test_both_modules_of_an_unpacked_archive_open_and_segment_in_slicer_or_the_host(tmp_path):
    """In the Slicer that VOXMMSD_SLICER names, where there is one."""
    slicer = os.environ.get("VOXMMSD_SLICER", "")
    series = os.environ.get("VOXMMSD_SLICER_SERIES", "5.13")
    archive = extension_archive.make(tmp_path, series=series, revision="1", system="linux", architecture="amd64")
    modules = extension_archive.modules_in(extension_archive.unpack(archive, tmp_path, "linux"), series)
    (tmp_path / "apply.py").write_text(APPLY, encoding="utf-8")
    environment = {"VOXMMSD_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    if slicer:
        code = f"exec(open({str(tmp_path / 'apply.py')!r}).read()); slicer.util.exit(0)"
        flags = ["--no-main-window", "--no-splash", "--testing", "--disable-cli-modules"]
        command = [slicer, *flags, "--additional-module-paths", str(modules), "--python-code", code]
    else:
        code = "from headless_slicer import host; host.start()\n"
        code += f"from pathlib import Path\nfor name in {MODULES!r}: host.load_module(name, Path({str(modules)!r}))\n"
        code += f"exec(open({str(tmp_path / 'apply.py')!r}).read())"
        command = [sys.executable, "-c", code]
        (modules / "sitecustomize.py").write_text(NO_EDITABLE, encoding="utf-8")
        environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY / "Testing"), str(modules)])
    done = run(command, **environment)
    assert "segmented: True" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"lies in: {modules} {modules}" in done.stdout
    assert done.returncode == 0


def our_entry():
    return json.loads((REPOSITORY / "VoxMMSD.json").read_text(encoding="utf-8"))


def test_the_entry_of_the_extensions_index_keeps_its_schema_and_rules():
    entry = our_entry()
    assert faults(entry) == []
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    # The index reads CMakeLists by these expressions.
    assert re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", text, re.IGNORECASE)[0] == "VoxMMSD"
    for name in ("ICONURL", "SCREENSHOTURLS"):
        (urls,) = re.findall(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\)', text)
        assert all(url.startswith("https://") for url in urls.split())
    assert entry["build_dependencies"] == re.search(r'EXTENSION_DEPENDS "([^"]+)"', text).group(1).split()
    assert (REPOSITORY / "LICENSE").is_file()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tier", 0),
        ("tier", "1"),
        ("scm_type", "svn"),
        ("scm_url", "https://github.com/someone/VoxMMSD.git"),
        ("scm_url", "git@github.com:someone/SlicerVoxMMSD.git"),
        ("category", "Brains"),
        ("build_dependencies", "PyTorch"),
        ("homepage", "https://example.org"),
        ("$schema", "https://example.org/schema.json"),
    ],
)
def test_an_entry_that_the_index_would_send_back_is_found(key, value):
    assert faults({**our_entry(), key: value}) == [key]


def test_an_entry_without_what_is_required_is_found():
    assert faults({}) == list(REQUIRED)


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
    assert sum(file.stat().st_size for file in files if file.is_file()) < 40 * 2**20  # the starter model is 20 of them
