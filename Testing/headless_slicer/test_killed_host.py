"""A training lives on when Slicer is killed, and a new Slicer finds it again."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from headless_slicer import host
from voxmmsd.files import write_json_atomic
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, view_run
from voxmmsd.runs.control import stop

STARTED = """
import sys
from pathlib import Path
from headless_slicer import host
slicer = host.start()
host.load_module("VoxMMSDTrain")
panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
options = {"preset": "tiny", "channels": [4, 8], "patch": 16, "batch": 1, "steps": 100000, "validate_every": 100000,
           "folders": [sys.argv[1]], "device": "cpu", "threads": 1, "workers": 1}
panel.logic.start("finetune", options, panel.run.folder / "long", panel.run.started)
host.wait_until(lambda: panel.run.ui.pauseButton.enabled and not panel.logic.is_launching, 240)
print("at work", flush=True)
host.wait_until(lambda: False, 600)
"""


LEFT = """
import sys
from pathlib import Path
from headless_slicer import host
slicer = host.start()
host.load_module("VoxMMSDTrain")
import qt
from VoxMMSDLib import child
panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
killed = []
child.end_group = lambda process: killed.append(process.pid)  # taskkill /T would end what it has started, too
options = {"preset": "tiny", "channels": [4, 8], "patch": 16, "batch": 1, "steps": 3, "validate_every": 3,
           "folders": [sys.argv[1]], "device": "cpu", "threads": 1, "workers": 1}
folder = panel.run.folder / "short"
panel.logic.start("finetune", options, folder)
pid = panel.logic._launches[0]._child._process.pid
host.wait_until((folder / "status.json").is_file, 240)
qt.QTimer.singleShot(0, slicer.app._qt.quit)
slicer.app._qt.exec()
panel.cleanup()
print(pid, killed, flush=True)
"""


def test_a_training_that_a_killed_test_has_started_is_ended(tmp_path):
    script = host.REPOSITORY / "Testing" / "Slicer" / "end_trainings.py"
    environment = {**os.environ, "PYTHONPATH": str(host.REPOSITORY)}
    watch = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdin=subprocess.PIPE, env=environment)
    training = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        (tmp_path / "home" / "runs" / "trial").mkdir(parents=True)
        status = {"state": "running", "pid": training.pid}
        write_json_atomic(tmp_path / "home" / "runs" / "trial" / "status.json", status)
        time.sleep(1)
        assert training.poll() is None
        watch.stdin.close()  # as it is where the test's process goes
        assert watch.wait(60) == 0
        assert training.wait(60)
    finally:
        training.kill()
        watch.kill()


def test_a_run_that_is_being_started_when_slicer_is_left_is_not_killed_and_its_starter_ends_by_itself(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")]))
    write_phantoms(tmp_path / "cases", 2, seed=7, side=32)
    run = tmp_path / "home" / "runs" / "short"
    left = subprocess.run([sys.executable, "-c", LEFT, str(tmp_path / "cases")], capture_output=True, encoding="utf-8")
    try:
        pid, killed = left.stdout.split(maxsplit=1)
        assert killed.strip() == "[]", left.stderr
        host.wait_until(lambda: view_run(run).state == "finished" and not psutil.pid_exists(int(pid)), 240)
    finally:
        if not view_run(run).is_over:
            stop(run, Request.CANCEL, 120)


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_run_outlives_a_killed_host_and_a_new_panel_finds_it(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(host.REPOSITORY), str(host.REPOSITORY / "Testing")]))
    write_phantoms(tmp_path / "cases", 2, seed=7, side=32)
    first = subprocess.Popen(
        [sys.executable, "-c", STARTED, str(tmp_path / "cases")],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    assert first.stdout.readline().strip() == "at work"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    run = tmp_path / "home" / "runs" / "long"
    try:
        step = view_run(run).step
        slicer = host.start()
        host.load_module("VoxMMSDTrain")
        panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
        try:
            assert panel.run.follower is not None and panel.run.follower.folder == run
            host.wait_until(lambda: view_run(run).step > step + 1, 240)
            assert view_run(run).state == "running"
            host.wait_until(lambda: panel.run.ui.progressBar.value > step, 60)
            panel.run.ui.cancelButton.click()
            host.wait_until(lambda: "canceled" in panel.run.ui.stateLabel.text, 120)
        finally:
            panel.cleanup()
    finally:
        if not view_run(run).is_over:
            stop(run, Request.CANCEL, 120)
        time.sleep(0.2)
