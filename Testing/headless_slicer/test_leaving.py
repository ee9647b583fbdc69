"""Slicer is left, or killed, while a segmentation runs: its processes end, nothing of the patient stays on the disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from stripping import with_folder

from headless_slicer import host

AT_WORK = """
import os, sys
import psutil
from headless_slicer import host
slicer = host.start()
sys.path.insert(0, os.path.join(str(host.REPOSITORY), "Testing", "Slicer"))
host.load_module("VoxMMSDSegment")
import qt
from phantom_case import TOY_MODEL, add_volumes, phantom
from stripping import stand_in
stand_in()
panel = slicer.util.getNewModuleWidget("VoxMMSDSegment")
panel.segment_tab.models.import_file(TOY_MODEL)
for key, node in add_volumes(phantom()).items():
    setattr(panel.parameters, key, node)
panel.ui.stripCombo.setCurrentIndex(panel.ui.stripCombo.findData("hd-bet"))
panel.ui.applyButton.click()
host.wait_until(lambda: "brain" in panel.ui.stageLabel.text, 240)
child = psutil.Process(panel.segment_tab.job.child._process.pid)
host.wait_until(child.children, 60)  # the stage is named before the stripper is there
print(child.pid, panel.segment_tab.job._folder, flush=True)
if sys.argv[1] == "leave":
    qt.QTimer.singleShot(0, slicer.app._qt.quit)
    slicer.app._qt.exec()
    print("left", flush=True)
host.wait_until(lambda: False, 600)
"""


@pytest.fixture
def at_work(tmp_path):
    """Starts a host that strips a skull for ever, and gives it with its child's processes and the job's folder."""
    environment = {**os.environ, "VOXMMSD_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    environment = with_folder(environment)
    environment["PYTHONPATH"] = os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")])
    started = []

    def start(how):
        process = subprocess.Popen(
            [sys.executable, "-c", AT_WORK, how], env=environment, stdout=subprocess.PIPE, encoding="utf-8"
        )
        started.append(process)
        pid, folder = process.stdout.readline().split()
        child = psutil.Process(int(pid))
        return process, [child, *child.children(recursive=True)], Path(folder)

    yield start
    for process in started:
        process.kill()
        process.wait()


def ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the stripper's stand-in is a shell script")
def test_leaving_slicer_ends_the_run_with_all_it_started_and_removes_its_files(at_work):
    slicer, processes, folder = at_work("leave")
    assert len(processes) > 1 and slicer.stdout.readline().strip() == "left"
    assert ended(processes)
    assert not folder.exists()
    assert not list(folder.parent.glob("voxmmsd-*"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_killed_slicer_ends_the_run_with_all_it_started_and_its_files_go_at_the_next_run(at_work, monkeypatch):
    from VoxMMSDLib.workplace import new_workplace, remove

    slicer, processes, folder = at_work("be killed")
    assert len(processes) > 1
    os.kill(slicer.pid, signal.SIGKILL)
    slicer.wait()
    assert ended(processes)
    assert folder.is_dir()
    monkeypatch.setattr(host.start().app, "temporaryPath", str(folder.parent))
    remove(new_workplace())
    assert not folder.exists()
