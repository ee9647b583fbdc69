"""A Slicer that was just installed: none of the core's packages can be imported, and every button is pressed."""

import json
import os
import subprocess
import sys

import pytest

from headless_slicer import host

HEAVY = ("nibabel", "scipy", "onnxruntime", "safetensors", "psutil", "tqdm", "torch", "monai", "onnx", "matplotlib")
FRESH = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
import json
from headless_slicer import host
slicer = host.start()
host.load_module("VoxMMSDSegment")
import numpy, qt
asked, shown = [], []
slicer.util.confirmYesNoDisplay = lambda text, *_, **__: bool(asked.append(text))
slicer.util.errorDisplay = lambda text, *_, **__: shown.append(text)
qt.QFileDialog.getOpenFileName = staticmethod(lambda *_: "")
qt.QFileDialog.getSaveFileName = staticmethod(lambda *_: "")
qt.QFileDialog.getExistingDirectory = staticmethod(lambda *_: "")
panel = slicer.util.getNewModuleWidget("VoxMMSDSegment")
panel.enter()
for name in ("a t1", "a t2"):
    slicer.util.addVolumeFromArray(numpy.arange(4096, dtype="float32").reshape(16, 16, 16), name=name)
button = getattr(panel.ui, sys.argv[2])
if sys.argv[2] in ("applyButton", "acceptButton", "followButton"):  # which need a case, or a result, and a model
    panel.parameters.t1n = slicer.util.getNode("a t1")
    button.setEnabled(True)
button.click()
panel.segment_tab.look()
host.wait_until(lambda: not panel.segment_tab.is_searching)
print(json.dumps({"asked": asked, "shown": shown, "said": panel.ui.errorLabel.text,
                  "followed": panel.ui.followLabel.text,
                  "accepted": panel.ui.acceptedLabel.text,
                  "findings": [finding.kind for finding in panel.segment_tab.findings.findings]}))
"""


def pressed(button, tmp_path, absent=HEAVY):
    """What the panel says and asks when a button is pressed in a process that lacks packages."""
    path = os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")])
    environment = {**os.environ, "PYTHONPATH": path, "VOXMMSD_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", FRESH, ",".join(absent), button]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("button", ["findButton", "applyButton"])
def test_what_needs_the_packages_asks_once_and_a_no_is_one_sentence(button, tmp_path):
    host.start()
    from VoxMMSDLib.dependencies import SEGMENTING

    said = pressed(button, tmp_path)
    assert len(said["asked"]) == 1
    assert all(requirement in said["asked"][0] for requirement in SEGMENTING.values())
    assert said["shown"] == []
    assert "not installed" in said["said"]


def test_visits_cannot_be_compared_before_the_packages_are_there_and_the_panel_says_so(tmp_path):
    said = pressed("followButton", tmp_path)
    assert len(said["asked"]) == 1 and "psutil" in said["asked"][0]
    assert "not installed" in said["followed"]


def test_images_that_cannot_be_checked_yet_say_so(tmp_path):
    assert pressed("applyButton", tmp_path)["findings"] == ["packages"]


@pytest.mark.parametrize("button", ["importModelButton", "saveButton", "copyDetailsButton", "nextPlaceButton",
                                    "regionsCheck", "overlayCheck", "replaceCheck", "exportModelButton",
                                    "deleteModelButton", "useModelButton", "alignCheck"])  # fmt: skip
@pytest.mark.long
def test_the_other_buttons_need_no_package(button, tmp_path):
    said = pressed(button, tmp_path)
    assert (said["asked"], said["shown"], said["said"]) == ([], [], "")


def test_opening_the_panel_imports_nothing_heavy(tmp_path):
    code = FRESH.split("for name in", maxsplit=1)[0] + "print([n for n in sys.argv[2].split(',') if n in sys.modules])"
    path = os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")])
    environment = {**os.environ, "PYTHONPATH": path, "VOXMMSD_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    code = code.replace("panel.enter()", "")
    done = subprocess.run(
        [sys.executable, "-c", code, "none", ",".join(HEAVY)], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
