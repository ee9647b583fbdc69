import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from voxmmsd.cli import main
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import RunState, open_run, read_status, view_run, write_status
from voxmmsd.runs.launch import resume_call

STEPS = 400  # long enough to be met alive, short enough to end


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder, 3, seed=0, side=32)
    return folder


def command(cases, run, steps=STEPS):
    return [
        "finetune", str(cases), "--run", str(run), "--preset", "tiny", "--channels", "4", "6", "8", "--patch", "16",
        "--steps", str(steps), "--validate-every", "1000", "--checkpoint-every", "1000", "--threads", "1",
        "--workers", "1", "--device", "cpu",
    ]  # fmt: skip


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def test_a_detached_run_outlives_its_parent_answers_and_is_resumed_where_it_was(cases, tmp_path, capfd):
    run = tmp_path / "run"
    # A parent that is killed, with its whole process group, right after the start.
    code = f"from voxmmsd.cli import main; main({[*command(cases, run), '--detach']!r}); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    said = parent.stdout.readline()
    os.killpg(parent.pid, 9)
    parent.wait()
    assert "is at work" in said
    wait_for(lambda: view_run(run).step > 3)
    assert view_run(run).pid != parent.pid
    assert str(view_run(run).pid) in said

    assert main([*command(cases, run), "--detach"]) == 2
    assert main(command(cases, run)) == 2
    assert capfd.readouterr().err.count("is working on this run") == 2

    assert main(["runs", "pause", str(run)]) == 0
    paused = view_run(run)
    assert paused.state == "paused"
    assert 3 < paused.step < STEPS
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert log.count("pause at step") == 1
    assert "%|" not in log, "progress bars are for terminals"

    moved, run = run, tmp_path / "moved"
    moved.rename(run)
    assert main(["runs", "resume", str(run), "--detach"]) == 0
    wait_for(lambda: view_run(run).is_over)
    assert view_run(run).state == "finished"
    assert f"continuing at step {paused.step} of {STEPS}" in (run / "log.txt").read_text(encoding="utf-8")
    assert len(view_run(run).starts) == 2
    assert main(["runs", "resume", str(run)]) == 2
    assert main(["runs", "resume", str(run), "--detach"]) == 2
    assert not moved.exists(), "a moved run is continued where it is"

    assert main([*command(tmp_path / "missing", run), "--detach"]) == 2
    assert view_run(run).state == "finished", "what a refused start found is as it was"


def test_only_a_run_that_is_there_is_resumed_detached(tmp_path, capsys):
    assert main(["runs", "resume", str(tmp_path / "nothing"), "--detach"]) == 2
    assert "holds no run to resume" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(SystemExit):
        main(["runs", "list", "--detach"])
    assert "unrecognized arguments: --detach" in capsys.readouterr().err


def test_looking_how_a_run_would_be_resumed_leaves_its_folder_as_it_is(tmp_path):
    with open_run(tmp_path / "run", "finetune", {"steps": 3}, 3, call={"steps": 3, "run": "somewhere"}) as run:
        run.progress(1)
    write_status(tmp_path / "run", replace(read_status(tmp_path / "run"), state=RunState.PAUSED))
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    verb, options, _ = resume_call(tmp_path / "run")
    assert (verb, options) == ("finetune", {"steps": 3, "run": "somewhere"})
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("verb", ["prepare", "segment", "finetune"])
def test_a_verb_without_its_folder_leaves_nothing_where_it_was_called(verb, cases, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([verb, str(cases), "--detach"]) == 2
    assert re.search("--(store|out|run) DIR", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_at_its_start_says_why_to_who_started_it(cases, tmp_path, capfd):
    assert main([*command(tmp_path / "missing", tmp_path / "run"), "--detach"]) == 2
    error = capfd.readouterr().err
    assert "ended at its start (exit 2)" in error
    assert "missing: no such file or folder" in error
    assert read_status(tmp_path / "run").state == "failed"
    assert main(command(cases, tmp_path / "run", steps=2)) == 0, "the folder is not spoiled by it"
