import threading
import time

import pytest

from voxmmsd.errors import RunError
from voxmmsd.files import write_json_atomic
from voxmmsd.runs import lock, open_run, read_status


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A run that another host was at work on a moment ago; silence is over after half a second."""
    monkeypatch.setattr(lock, "SILENT_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.2)
    beat(tmp_path)
    return tmp_path


def beat(folder, state="running"):
    status = {"verb": "finetune", "state": state, "host": "elsewhere", "pid": 1, "heartbeat": time.time(), "step": 3}
    write_json_atomic(folder / "status.json", status)  # as a run writes it: it is read meanwhile


def test_a_run_of_a_host_that_was_lost_a_moment_ago_is_taken_over(elsewhere):
    with open_run(elsewhere, "finetune", {}, 9):
        assert read_status(elsewhere).host != "elsewhere"


def test_a_run_that_another_host_is_at_work_on_is_refused(elsewhere):
    timer = threading.Timer(0.2, beat, [elsewhere])
    timer.start()
    with (
        pytest.raises(RunError, match="process 1 on elsewhere is working on this run"),
        open_run(elsewhere, "finetune", {}, 9),
    ):
        pass
    timer.join()
    assert read_status(elsewhere).host == "elsewhere"


def test_a_run_that_another_host_is_just_leaving_is_taken_over(elsewhere):
    timer = threading.Timer(0.2, beat, [elsewhere, "paused"])
    timer.start()
    with open_run(elsewhere, "finetune", {}, 9):
        pass
    timer.join()
