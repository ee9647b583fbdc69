"""A window follows a run by what was appended."""

import json

import pytest

from voxmmsd.cli import main
from voxmmsd.errors import RunError
from voxmmsd.files import write_json_atomic
from voxmmsd.runs.curves import read_curves
from voxmmsd.runs.following import LOG_TAIL_BYTES, Follower, Preview


def a_run(folder, **status):
    folder.mkdir()
    write_json_atomic(folder / "status.json", {"verb": "finetune", "state": "paused", "step": 1, "total": 9, **status})
    return folder


def write(folder, *events):
    with (folder / "events.jsonl").open("a", encoding="utf-8") as stream:
        for event in events:
            stream.write(json.dumps(event) + "\n")


def test_a_look_brings_what_is_new_and_no_more(tmp_path):
    run = a_run(tmp_path / "r")
    write(run, {"kind": "metric", "step": 1, "name": "loss", "value": 5.0})
    follower = Follower(run)
    assert follower.look().has_metrics
    assert not follower.look().has_metrics
    write(run, {"kind": "metric", "step": 2, "name": "loss", "value": 4.0}, {"kind": "warning", "text": "hot"})
    write(run, {"kind": "preview", "step": 2, "file": "previews/a.png"})
    news = follower.look()
    assert (news.has_metrics, news.has_previews, news.run.state) == (True, True, "paused")
    assert follower.curves == read_curves(run) == {"loss": [(1, 5.0), (2, 4.0)]}
    assert follower.previews == [Preview(2, run / "previews/a.png")] and follower.warnings == ["hot"]


def test_half_a_line_waits_for_its_end(tmp_path):
    run = a_run(tmp_path / "r")
    follower = Follower(run)
    line = json.dumps({"kind": "metric", "step": 1, "name": "loss", "value": 5.0})
    (run / "events.jsonl").write_text(line[:20], encoding="utf-8")
    assert not follower.look().has_metrics
    (run / "events.jsonl").write_text(line + "\n", encoding="utf-8")
    assert follower.look().has_metrics


def test_a_warning_with_a_line_separator_of_unicode_is_one_event(tmp_path):
    run = a_run(tmp_path / "r")
    (run / "events.jsonl").write_text('{"kind": "warning", "text": "a\u2028b"}\n', encoding="utf-8")
    follower = Follower(run)
    follower.look()
    assert follower.warnings == ["a\u2028b"]


def test_of_a_long_log_the_end_is_shown(tmp_path):
    run = a_run(tmp_path / "r")
    (run / "log.txt").write_text("early\n" + "x" * LOG_TAIL_BYTES + "\nlate\n", encoding="utf-8")
    follower = Follower(run)
    log = follower.look().log
    assert log.endswith("late\n") and "early" not in log
    with (run / "log.txt").open("a", encoding="utf-8") as stream:
        stream.write("later\n")
    assert follower.look().log == "later\n"


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        Follower(tmp_path)


ODD = [
    "[]", "{", '{"kind": "other"}', '{"kind": "metric"}', '{"kind": "metric", "name": "loss", "step": "x", "value": 1}',
    '{"kind": "metric", "name": ["loss"], "step": 1, "value": 1}', '{"kind": "metric", "name": "loss", "value": 1}',
    '{"kind": "metric", "name": "loss", "step": 1, "value": NaN}', "[" * 100_000,
    '{"kind": "metric", "name": "loss", "step": 1, "value": 1%s}' % ("0" * 400),
    '{"kind": "metric", "name": "loss", "step": 1%s, "value": 1}' % ("0" * 400),
    '{"kind": "metric", "name": "loss", "step": 1, "value": 1, "time": "noon"}',
    '{"kind": "preview"}', '{"kind": "preview", "step": 1, "file": 7}', '{"kind": "preview", "step": [], "file": "a"}',
    '{"kind": "warning"}', '{"kind": "warning", "step": {}, "text": {}}', '{"kind": "progress", "step": "x"}',
]  # fmt: skip


def test_whatever_an_event_holds_the_others_are_shown(tmp_path, capsys):
    run = a_run(tmp_path / "r")
    good = json.dumps({"kind": "metric", "step": 1, "name": "loss", "value": 5.0})
    (run / "events.jsonl").write_text("\n".join([*ODD, good, ""]), encoding="utf-8")
    follower = Follower(run)
    assert follower.look().has_metrics and not follower.previews
    assert follower.curves == read_curves(run) == {"loss": [(1, 5.0)]}
    assert main(["runs", "show", str(run)]) == 0
    assert "loss" in capsys.readouterr().out


def test_an_event_that_shows_nothing_is_no_news(tmp_path):
    run = a_run(tmp_path / "r")
    (run / "events.jsonl").write_text('{"kind": "metric"}\n{"kind": "preview"}\n', encoding="utf-8")
    news = Follower(run).look()
    assert (news.has_metrics, news.has_previews) == (False, False)
