"""A Slicer without our packages: opening the training panel loads none, and each button that needs one asks first."""

import os
import subprocess
import sys

from headless_slicer import host

START = """
import os, sys
sys.path[:0] = [{root!r}, {root!r} + "/Testing", {root!r} + "/Testing/Slicer"]
os.environ["VOXMMSD_HOME"] = {home!r}
from pathlib import Path
from headless_slicer import host
slicer = host.start()
host.load_module("VoxMMSDTrain")
from VoxMMSDLib import settings
for key in ("TrainDatafinetune", "TrainRun", "TrainRunsFolder"):
    settings.write(key, "")
settings.write("library", {library!r})
"""

OPENED = """
panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
for tab in ("Task", "Run", "Result", "Library"):
    panel.showTab(tab)
panel.exit()
panel.enter()
assert panel.library.ui.casesTable.rowCount == 2, panel.library.ui.noticeLabel.text
print([name for name in ("scipy", "nibabel", "pydicom", "onnxruntime", "SimpleITK", "torch") if name in sys.modules])
"""

BLOCKED = """
missing = ("scipy", "nibabel", "onnxruntime", "psutil", "safetensors", "tqdm", "torch", "monai")
for name in missing:
    sys.modules[name] = None  # importing it fails, and it cannot be found
faults, asked = [], []
sys.excepthook = lambda kind, fault, trace: faults.append(repr(fault))
slicer.util.confirmYesNoDisplay = lambda text, *_, **__: asked.append(text) and False
panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
def press(button, notice):
    asked.clear()
    notice.text = ""
    assert button.enabled, button.objectName
    button.click()
    host.wait_until(lambda: not panel.work.is_running, 20)
    assert not faults, (button.objectName, faults)
    return len(asked), notice.text
ui, result, task = panel.library.ui, panel.result.ui, panel.task.ui
ui.addPath.currentPath = task.dataPath.currentPath = {library!r}
ui.casesTable.selectRow(0)
for button in (ui.addButton, ui.openButton, ui.correctButton, ui.nextButton):
    count, said = press(button, ui.noticeLabel)
    assert count == 1 and "press the button again" in said, (button.objectName, count, said)
panel.showTab("Task")
task.exportPath.currentPath = {home!r} + "/job"
for button in (task.estimateButton, task.startButton, task.exportButton):
    count, said = press(button, task.noticeLabel)
    assert count == 0 and "Extensions Manager" in said, (button.objectName, count, said)
panel.showTab("Result")
result.unnamedBox.visible = True
result.importPath.currentPath = {home!r} + "/nothing"
count, said = press(result.importButton, result.importNotice)
assert count == 0 and said, said
panel.showTab("Library")
panel.cleanup()
print("well")
"""


def run(tmp_path, code):
    """Run code in a host of its own whose library holds two predicted cases."""
    library = a_library(tmp_path)
    root = str(host.REPOSITORY)
    text = (START + code).format(root=root, home=str(tmp_path / "home"), library=str(library))
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def a_library(folder):
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.formats.sources import read_volume
    from voxmmsd.library import create_library
    from voxmmsd.phantom import write_phantoms

    write_phantoms(folder / "cases", 2, seed=7, side=24)
    library = create_library(folder / "library", seed=0)
    for case in find_cases(folder / "cases").cases:
        library.add_case(case.id, {name: read_volume(source) for name, source in case.modalities.items()})
    return library.folder


def test_opening_the_training_panel_loads_nothing_that_reads_images(tmp_path):
    assert run(tmp_path, OPENED) == "[]"


def test_each_button_that_needs_a_package_asks_once_before_it_needs_it(tmp_path):
    assert run(tmp_path, BLOCKED) == "well"
