import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from voxmmsd.errors import RunError
from voxmmsd.runs import RunState, find_run, list_runs, open_run, read_status, view_run
from voxmmsd.runs.pids import process_start
from voxmmsd.wording import in_words


def write_status(folder, **changes):
    status = {
        "verb": "finetune", "state": "running", "host": "elsewhere", "pid": 1, "step": 3, "total": 10,
        "seconds_left": 75.0, "heartbeat": time.time(), "stage": "training", "starts": [],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps({**status, **changes}))
    return folder


def test_a_running_run_says_where_how_far_and_how_long(tmp_path):
    run = view_run(write_status(tmp_path))
    assert run.line() == "running on elsewhere, training; step 3 of 10, 1 min 15 s left"
    assert not run.is_over


def test_a_run_whose_heart_has_stopped_is_shown_as_interrupted_since_then(tmp_path):
    run = view_run(write_status(tmp_path, heartbeat=time.time() - 3600))
    assert run.state == "interrupted"
    assert run.is_over
    assert f"no sign of life since {time.strftime('%Y-%m-%d', time.localtime(time.time() - 3600))}" in run.line()


def test_a_killed_run_is_not_running_though_its_status_says_so(tmp_path):
    code = (
        "import time; from pathlib import Path; from voxmmsd.runs import open_run\n"
        f"with open_run(Path({str(tmp_path / 'r')!r}), 'finetune', {{}}, 1): time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "r" / "status.json").is_file():
        time.sleep(0.05)
    assert view_run(tmp_path / "r").state == "running"
    process.kill()
    process.wait()
    assert json.loads((tmp_path / "r" / "status.json").read_text(encoding="utf-8"))["state"] == "running"
    assert view_run(tmp_path / "r").state == "interrupted"


def test_a_pid_that_another_process_has_now_is_not_the_run(tmp_path):
    with open_run(tmp_path / "r", "finetune", {}, 1):
        status = read_status(tmp_path / "r")
    assert status.state is RunState.RUNNING
    assert status.is_alive()
    assert process_start(os.getpid()) == status.pid_started
    assert not replace(status, pid_started="1").is_alive()


def test_a_status_of_an_earlier_version_is_read_with_what_it_has(tmp_path):
    old = {"verb": "pretrain", "state": "paused", "host": "gpu-7", "pid": 4711, "heartbeat": 1.0, "step": None}
    old["starts"] = [{"time": "2026-11-01T10:00:00", "host": "gpu-7", "pid": 4711}]
    (tmp_path / "status.json").write_text(json.dumps({**old, "an_old_key": 1}))
    run = view_run(tmp_path)
    assert (run.line(), run.starts[0].pid, run.starts[0].launch) == ("paused; step 0 of 0", 4711, "")
    with open_run(tmp_path, "pretrain", {}, 9, continues=False):
        assert read_status(tmp_path).starts[0].host == "gpu-7"


@pytest.mark.parametrize(
    "spoiled",
    [{"state": "resting"}, {"step": [1]}, {"starts": 3}, {"starts": [1]}, {"seconds_left": "soon"}, {"pid": "x"}],
)
def test_what_is_no_status_is_refused_by_all_who_read_it(spoiled, tmp_path):
    write_status(tmp_path, **spoiled)
    for read in (read_status, view_run):
        with pytest.raises(RunError, match=r"status\.json: is not a run's record"):
            read(tmp_path)


def test_a_failed_run_names_its_reason(tmp_path):
    assert "failed: out of luck" in view_run(write_status(tmp_path, state="failed", error="out of luck")).line()


def test_the_list_has_the_latest_run_first(tmp_path):
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        file = write_status(tmp_path / name, state="finished") / "status.json"
        os.utime(file, (time.time() - age,) * 2)
    assert [run.folder.name for run in list_runs(tmp_path)] == ["new", "middle", "old"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_spoiled_run_does_not_hide_the_others(tmp_path):
    write_status(tmp_path / "good", state="finished")
    (write_status(tmp_path / "spoiled") / "status.json").write_text("{")
    listed = {run.folder.name: run for run in list_runs(tmp_path)}
    assert listed["good"].state == "finished"
    assert "status.json: cannot be read" in listed["spoiled"].line()


def test_a_store_or_a_folder_of_results_stands_for_the_run_in_it(tmp_path):
    write_status(tmp_path / "out" / ".run")
    assert find_run(str(tmp_path / "out")) == tmp_path / "out" / ".run"
    assert find_run(str(tmp_path / "out" / ".run")) == tmp_path / "out" / ".run"


def test_no_run_and_a_broken_status_are_named(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        view_run(tmp_path)
    (tmp_path / "status.json").write_text("{")
    with pytest.raises(RunError, match=r"status\.json: cannot be read"):
        view_run(tmp_path)


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")])
def test_time_is_told_in_words(seconds, words):
    assert in_words(seconds) == words
