import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from voxmmsd.cli import main
from voxmmsd.errors import Canceled, RunError
from voxmmsd.runs import Request, open_run, read_status, view_run
from voxmmsd.runs.control import ask, stop
from voxmmsd.runs.folder import CONTROL, LAUNCH
from voxmmsd.runs.states import RunState
from voxmmsd.runs.status import write_status

JOB = """
import sys, time
from pathlib import Path
from voxmmsd.errors import Canceled
from voxmmsd.runs import open_run
try:
    with open_run(Path(sys.argv[1]), "finetune", {"steps": 1000}, 1000) as run:
        for step in range(1000):
            run.progress(step)
            if "deaf" not in sys.argv: run.stop_if_asked()
            time.sleep(0.02)
except Canceled:
    pass
"""


@pytest.fixture
def job(tmp_path):
    """Starts a job in ``tmp_path/run`` and waits until it is at work."""
    processes = []

    def start(*arguments):
        processes.append(subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path / "run"), *arguments]))
        while read_status(tmp_path / "run") is None or view_run(tmp_path / "run").state != "running":
            time.sleep(0.02)
        return tmp_path / "run"

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("request_", "state"), [("pause", "paused"), ("cancel", "canceled")])
def test_a_run_stops_as_asked_and_the_asker_is_told(job, request_, state, capsys):
    folder = job()
    assert main(["runs", request_, str(folder)]) == 0
    assert state in capsys.readouterr().out
    assert view_run(folder).state == state
    assert main(["runs", request_, str(folder)]) == (0 if (request_, state) == ("cancel", "paused") else 2)


def test_a_paused_run_is_canceled_without_a_process(job):
    folder = job()
    stop(folder, Request.PAUSE)
    assert stop(folder, Request.CANCEL).state == "canceled"


def test_a_run_that_does_not_answer_keeps_the_request(job):
    folder = job("deaf")
    with pytest.raises(RunError, match="has not responded in 0 s"):
        stop(folder, Request.PAUSE, wait_seconds=0.3)
    assert json.loads((folder / "control.json").read_text(encoding="utf-8")) == {"request": "pause"}


def test_nothing_is_asked_of_a_run_that_is_over(job):
    folder = job()
    stop(folder, Request.CANCEL)
    with pytest.raises(RunError, match="nothing to pause"):
        stop(folder, Request.PAUSE)


def test_what_is_asked_of_a_queued_run_still_stands_when_it_starts(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    status = {"state": "queued", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}
    (folder / "status.json").write_text(json.dumps(status))
    ask(folder, Request.PAUSE)
    with open_run(folder, "finetune", {}, 3) as run:
        assert run.asked() == "pause"
    with open_run(folder, "finetune", {}, 3) as run:
        assert run.asked() is None, "and is forgotten after"


def test_what_is_asked_of_a_run_that_is_being_resumed_stands_when_it_starts(tmp_path, monkeypatch):
    """Its status is still that of before while its process loads."""
    with open_run(tmp_path / "run", "finetune", {}, 9):
        pass
    status = read_status(tmp_path / "run")
    write_status(tmp_path / "run", replace(status, state=RunState.PAUSED))
    (tmp_path / "run" / CONTROL).write_text('{"request": "cancel"}', encoding="utf-8")
    monkeypatch.setenv(LAUNCH, "token")
    with open_run(tmp_path / "run", "finetune", {}, 9) as run:
        assert run.asked() == Request.CANCEL


def test_a_second_interrupt_means_now_and_a_second_warning_nothing_more(tmp_path):
    with pytest.raises(Canceled, match="canceled"), open_run(tmp_path / "r", "finetune", {}, 3) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.asked() == "pause"
        os.kill(os.getpid(), signal.SIGINT)
        assert run.asked() == "cancel"
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_an_earlier_version_canceled_is_still_read_as_canceled(tmp_path):
    with open_run(tmp_path / "r", "finetune", {}, 1):
        pass
    status = json.loads((tmp_path / "r" / "status.json").read_text(encoding="utf-8"))
    (tmp_path / "r" / "status.json").write_text(json.dumps({**status, "state": "cancelled"}), encoding="utf-8")
    view = view_run(tmp_path / "r")
    assert (view.state, view.state.can_resume) == (RunState.CANCELED, True)
    assert "canceled" in view.line()
