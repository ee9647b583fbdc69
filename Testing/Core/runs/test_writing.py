import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from voxmmsd.cli import main
from voxmmsd.errors import Canceled, RunError
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import (
    is_finished,
    open_run,
    read_status,
    refuse_other_options,
    resolve_run,
    view_run,
    writing,
)
from voxmmsd.runs.events import EventWriter, read_events


def test_a_finished_run_says_so_with_its_steps_and_versions(tmp_path):
    with open_run(tmp_path / "r", "finetune", {"steps": 3}, total=3) as run:
        assert read_status(tmp_path / "r").state == "running"
        for step in range(1, 4):
            run.progress(step)
        run.metric(3, "loss", 0.5)
    status = read_status(tmp_path / "r")
    assert (status.state, status.step, status.total) == ("finished", 3, 3)
    assert is_finished(tmp_path / "r")
    config = json.loads((tmp_path / "r" / "config.json").read_text(encoding="utf-8"))
    assert config["options"] == {"steps": 3}
    assert "python" in config["versions"]
    assert [event["kind"] for event in read_events(tmp_path / "r" / "events.jsonl")] == ["metric", "done"]


def test_a_failed_run_keeps_the_reason(tmp_path):
    with pytest.raises(ZeroDivisionError), open_run(tmp_path / "r", "finetune", {}, 1):
        1 / 0  # noqa: B018
    assert read_status(tmp_path / "r").state == "failed"
    assert "division by zero" in (tmp_path / "r" / "log.txt").read_text(encoding="utf-8")


def test_each_start_is_remembered(tmp_path):
    for _ in range(2):
        with pytest.raises(Canceled), open_run(tmp_path / "r", "finetune", {}, 1):
            raise Canceled("paused")
    status = read_status(tmp_path / "r")
    assert status.state == "paused"
    assert len(status.starts) == 2


def test_a_start_shows_how_far_the_run_was_and_what_it_does_before_its_first_step(tmp_path):
    with pytest.raises(Canceled), open_run(tmp_path / "r", "finetune", {}, 9) as run:
        run.progress(3)
        raise Canceled("paused")
    with open_run(tmp_path / "r", "finetune", {}, 9) as run:
        assert view_run(tmp_path / "r").step == 3
        run.stage("preparing 2 cases")
        while "preparing 2 cases; step 3 of 9" not in view_run(tmp_path / "r").line():
            time.sleep(0.05)


def test_other_options_and_other_verbs_are_refused_by_name(tmp_path):
    with open_run(tmp_path / "r", "finetune", {"steps": 3, "threads": 1}, 1):
        pass
    with pytest.raises(RunError, match="steps 3 -> 4"), open_run(tmp_path / "r", "finetune", {"steps": 4}, 1):
        pass
    with pytest.raises(RunError, match="holds a finetune run"), open_run(tmp_path / "r", "pretrain", {}, 1):
        pass
    with open_run(tmp_path / "r", "finetune", {"steps": 3, "threads": 2}, 1, may_differ=("threads",)):
        pass


def test_a_run_started_under_former_names_of_options_goes_on_under_the_present_ones(tmp_path):
    with open_run(tmp_path / "r", "finetune", {"balanced": 0.5, "keep": 3}, 1):
        pass
    with open_run(tmp_path / "r", "finetune", {"class_balancing": 0.5, "keep_checkpoints": 3}, 1):
        pass
    with pytest.raises(RunError, match=r"class_balancing 0.5 -> 0.25"):
        refuse_other_options(tmp_path / "r", "finetune", {"class_balancing": 0.25, "keep_checkpoints": 3})


def test_an_option_that_came_after_the_start_of_a_run_counts_as_its_default(tmp_path):
    with open_run(tmp_path / "r", "finetune", {"steps": 3}, 1):
        pass
    given = {"defaults": {"steps": 9, "region_dice": 0.0}}
    with open_run(tmp_path / "r", "finetune", {"steps": 3, "region_dice": 0.0}, 1, **given):
        pass
    with pytest.raises(RunError, match=r"region_dice 0.0 -> 1.0"):
        refuse_other_options(tmp_path / "r", "finetune", {"steps": 3, "region_dice": 1.0}, **given)


def test_a_folder_of_something_else_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunError, match="not a run folder"), open_run(tmp_path, "finetune", {}, 1):
        pass
    with pytest.raises(RunError, match="is a file"), open_run(tmp_path / "holiday.jpg", "finetune", {}, 1):
        pass


def test_what_a_detached_start_is_just_writing_makes_no_other_folder_of_it(tmp_path):
    (tmp_path / "log.txt").write_text("")
    (tmp_path / ".status.4711.tmp.json").write_text("{")  # as files.written_aside calls it
    refuse_other_options(tmp_path, "finetune", {})
    (tmp_path / ".notes.4711.tmp.json").write_text("{")
    with pytest.raises(RunError, match="not empty"):
        refuse_other_options(tmp_path, "finetune", {})


def test_a_second_process_on_a_living_run_is_refused(tmp_path):
    with (
        open_run(tmp_path / "r", "finetune", {}, 1),
        pytest.raises(RunError, match="is working on this run"),
        open_run(tmp_path / "r", "finetune", {}, 1),
    ):
        pass


def test_a_run_whose_process_is_gone_is_not_alive_whatever_its_status_says(tmp_path):
    with open_run(tmp_path / "r", "finetune", {}, 1):
        status = read_status(tmp_path / "r")
    assert status.is_alive()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert not replace(status, pid=pid).is_alive()
    assert not replace(status, heartbeat=time.time() - 60, pid_started=None).is_alive()
    assert replace(status, pid=pid, host="another-host").is_alive()


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_jumps_ends_no_run_and_spoils_no_estimate(tmp_path, monkeypatch, hours):
    right = time.time
    with open_run(tmp_path / "r", "finetune", {}, 10) as run:
        run.progress(1)
        before = run.seconds_left
        monkeypatch.setattr(time, "time", lambda: right() + 3600 * hours)
        shown = view_run(tmp_path / "r")  # before the next sign of life
        assert shown.state == "running"
        time.sleep(0.01)
        run.progress(2)
        run.metric(2, "loss", 0.5)
        assert before is None
        assert 0 < run.seconds_left < 60
        with (
            pytest.raises(RunError, match="is working on this run"),
            open_run(tmp_path / "r", "finetune", {}, 10),
        ):
            pass
    assert is_finished(tmp_path / "r")
    assert [event["kind"] for event in read_events(tmp_path / "r" / "events.jsonl")] == ["metric", "done"]


def test_the_control_file_and_signals_ask_to_stop(tmp_path):
    with open_run(tmp_path / "r", "finetune", {}, 1) as run:
        assert run.asked() is None
        (tmp_path / "r" / "control.json").write_text('{"request": "pause"}')
        assert run.asked() == "pause"
    with open_run(tmp_path / "r", "finetune", {}, 1) as run:
        assert run.asked() is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.asked() == "pause"
    with open_run(tmp_path / "r", "finetune", {}, 1) as run:
        os.kill(os.getpid(), signal.SIGINT)
        assert run.asked() == "cancel"


def test_time_left_is_measured(tmp_path):
    with open_run(tmp_path / "r", "finetune", {}, 10) as run:
        assert run.seconds_left is None
        run.progress(0)
        time.sleep(0.05)
        run.progress(5)
        assert 0.04 < run.seconds_left < 1


def test_a_bare_name_lies_under_the_home_and_a_path_is_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path))
    assert resolve_run("glioma") == tmp_path / "runs" / "glioma"
    assert str(resolve_run("runs/glioma")) == "runs/glioma"
    with pytest.raises(RunError, match="--run"):
        resolve_run("")


def test_half_a_line_of_a_killed_writer_is_passed_over(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind": "metric", "step": 1}\n{"kind": "metr')
    writer = EventWriter(file)
    writer.write("metric", step=2, value=float("nan"))
    writer.close()
    events = list(read_events(file))
    assert [event["step"] for event in events] == [1, 2]
    assert events[1]["value"] is None


def test_an_unknown_kind_of_event_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="no event kind"):
        EventWriter(tmp_path / "events.jsonl").write("gossip")


def test_a_request_to_the_run_around_reaches_the_run_within(tmp_path):
    with (
        open_run(tmp_path / "outer", "compare", {}, 1) as outer,
        open_run(tmp_path / "inner", "finetune", {}, 1) as run,
    ):
        assert run.asked() is None
        (tmp_path / "outer" / "control.json").write_text('{"request": "cancel"}')
        assert run.asked() == "cancel"
        with pytest.raises(Canceled, match="canceled"):
            outer.stop_if_asked()
    with open_run(tmp_path / "later", "finetune", {}, 1) as run:
        assert run.asked() is None


def test_what_is_said_stands_in_the_log_once_also_when_stderr_is_the_log(tmp_path):
    code = (
        "from pathlib import Path; from voxmmsd.runs import open_run\n"
        f"with open_run(Path({str(tmp_path / 'r')!r}), 'finetune', {{}}, 1) as run: run.say('hello')"
    )
    (tmp_path / "r").mkdir()
    with (tmp_path / "r" / "log.txt").open("ab") as log:
        subprocess.run([sys.executable, "-c", code], stderr=log, check=True)
    assert (tmp_path / "r" / "log.txt").read_text(encoding="utf-8").count("hello") == 1


def test_a_full_disk_is_called_by_its_name_wherever_it_is_met(tmp_path, monkeypatch):
    with pytest.raises(RunError, match="the disk is full"), open_run(tmp_path / "r", "finetune", {}, 3) as run:
        monkeypatch.setattr(run.events, "write", no_room)
        run.metric(1, "loss", 0.5)
    assert "the disk is full" in read_status(tmp_path / "r").error
    monkeypatch.setattr(writing, "write_json_atomic", no_room)
    assert main(["prepare", str(tmp_path), "--store", str(tmp_path / "store")]) == 2
    write_phantoms(tmp_path / "in", 1, seed=0, side=32)
    assert main(["prepare", str(tmp_path / "in"), "--store", str(tmp_path / "store")]) == 2


def no_room(*given, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_the_status_still_says_how_the_run_ended(tmp_path, monkeypatch):
    with pytest.raises(RunError, match="no room"), open_run(tmp_path / "r", "finetune", {}, 3) as run:
        run.progress(2)
        monkeypatch.setattr("voxmmsd.runs.status.write_json_atomic", no_room)
        raise RunError("there is no room", "free some")
    status = read_status(tmp_path / "r")
    assert (status.state, status.step, status.error) == ("failed", 2, "there is no room; free some")


@pytest.mark.parametrize("left", [".config.77.tmp.json", ".status.77.tmp.json", ".lock", "log.txt"])
def test_a_run_that_was_killed_before_its_first_record_was_whole_is_started_anew(left, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / left).write_text("{", encoding="utf-8")
    with open_run(tmp_path / "r", "finetune", {}, 1) as run:
        run.progress(1)
    assert read_status(tmp_path / "r").state == "finished"


@pytest.mark.parametrize("left", [".config.json", "config.77.tmp.json", ".git"])
def test_a_folder_of_anything_else_is_no_place_for_a_run(left, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / left).write_text("{", encoding="utf-8")
    with (
        pytest.raises(RunError, match="is not empty and not a run folder"),
        open_run(tmp_path / "r", "finetune", {}, 1),
    ):
        pass
