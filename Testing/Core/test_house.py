"""The layers of docs/design.md: imports go one way, and importing the package loads nothing heavy."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

CORE = REPOSITORY / "voxmmsd"
ORDER = [
    {"errors", "__init__"},
    {"home", "files", "wording", "clock", "ids", "colors", "terminal", "concurrency"},
    {"failures"},
    {"labels", "config", "records"},
    {"model_config", "training_config"},
    {"runs"},
    {"data"},
    {"phantom", "views", "compute", "networks", "losses", "schedules", "measuring"},
    {"transforms"},
    {"pretext", "models"},
    {"evaluation", "preflight", "dicom_export"},
    {"inference"},
    {"library", "refine"},
    {"reporting"},
    {"training"},
    {"corrections", "experiment", "planning"},
    {"doctor", "verify", "offline", "segmenting"},
    {"standby"},
    {"verbs"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}


def modules():
    return sorted(CORE.rglob("*.py"))


def room_of(file):
    return file.relative_to(CORE).parts[0].removesuffix(".py")


def test_the_drawing_in_the_docs_is_this_order():
    text = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    drawn = text.split("```text\n")[1].split("```")[0].splitlines()[2:]
    floors = [{name.strip() for name in re.split(r"\s{2,}", line)[0].split(",")} for line in drawn]
    assert floors[::-1] == [rooms - {"__init__", "__main__"} for rooms in ORDER if rooms != {"__main__"}]


def imports_of(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            if node.module == "voxmmsd":
                yield from (f"voxmmsd.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def test_every_room_has_its_floor():
    assert {room_of(file) for file in modules()} <= set(FLOOR)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(CORE)))
def test_a_room_imports_only_from_the_floors_below_and_from_itself(file):
    here = room_of(file)
    if file == CORE / "__init__.py":  # names the public calls for type checkers, and imports them when they are used
        return
    for name in imports_of(file):
        if name.startswith("voxmmsd."):
            there = name.split(".")[1]
            if there not in FLOOR:  # a name of the package itself, such as __version__
                continue
            assert there == here or FLOOR[there] < FLOOR[here], f"{file}: {here} must not import {name}"


def test_the_core_never_imports_slicer_or_qt():
    for file in modules():
        assert not {name.split(".")[0] for name in imports_of(file)} & {"slicer", "qt", "ctk", "vtk", "PySide6"}, file


def in_a_clean_process(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )


@pytest.mark.parametrize("module", ["", ".config", ".training_config", ".runs", ".labels", ".cli"])
def test_what_a_panel_reads_loads_neither_torch_nor_numpy(module):
    module = f"voxmmsd{module}"
    heavy = ("torch", "numpy", "monai", "slicer", "qt", "scipy", "onnxruntime", "matplotlib")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    result = in_a_clean_process(code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_segmenting_on_a_cpu_imports_no_torch_and_no_monai():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['monai'] = None; "
        "import voxmmsd.inference.segment, voxmmsd.refine.verb, voxmmsd.evaluation.pictures; "
        "import voxmmsd.phantom, voxmmsd.data.store"
    )
    assert in_a_clean_process(code).returncode == 0


def test_processes_are_spawned_never_forked():
    """Windows knows no fork, and macOS does not survive it."""
    for file in modules():
        for call in (
            node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ):
            name = ast.unparse(call.func)
            assert name not in ("os.fork", "os.forkpty", "multiprocessing.Pool", "multiprocessing.Process"), file
            if name.endswith("get_context"):
                assert [ast.unparse(given) for given in call.args] == ["'spawn'"], file
            if name.endswith("ProcessPoolExecutor"):
                assert "mp_context" in [keyword.arg for keyword in call.keywords], file


def test_no_room_is_named_for_nothing():
    names = {file.stem for file in modules()} | {file.parent.name for file in modules()}
    assert not names & {"utils", "util", "common", "misc", "helpers", "tools"}


def test_text_is_in_us_spelling():
    british = ("tumour", "colour", "normalis", "optimis", "neighbour", "labelled", "cancelled", "cancelling", "centre_")
    on_disk = ('"unlabelled"', '"cancelled"')  # in splits, packages and runs of before
    for file in modules():
        text = file.read_text(encoding="utf-8").lower()
        for value in on_disk:
            text = text.replace(value, "")
        assert not [word for word in british if word in text], file


def python_312():
    """A Python 3.12 of this machine, or None."""
    for found in (shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python")):
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    return None


@pytest.mark.skipif(python_312() is None, reason="no Python 3.12 here; `make test-312` runs everything with one")
def test_all_sources_are_read_without_a_warning_by_python_3_12():
    rooms = ("voxmmsd", "VoxMMSDLib", "VoxMMSDSegment", "VoxMMSDTrain", "Testing", "benchmarks", "demo", "docs")
    files = [str(file) for room in rooms for file in sorted((REPOSITORY / room).rglob("*.py"))]
    code = (
        "import sys\n"
        "for name in sys.stdin.read().split('\\n'): compile(open(name, encoding='utf-8').read(), name, 'exec')"
    )
    done = subprocess.run(
        [python_312(), "-W", "error", "-c", code], input="\n".join(files), capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
