import io
import os
import threading
import time

from voxmmsd.cli import main
from voxmmsd.errors import Canceled
from voxmmsd.home import home
from voxmmsd.runs import open_run, view_run
from voxmmsd.runs.curves import read_curves, sparkline
from voxmmsd.runs.watch import describe, watch


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_run_is_described_with_its_bar_curves_and_warnings(tmp_path):
    with open_run(tmp_path / "r", "pretrain", {}, 4) as run:
        for step in range(1, 5):
            run.progress(step)
            run.metric(step, "loss", 4.0 - step)
        run.warn("the loss is low")
    text = describe(tmp_path / "r", width=60)
    assert "pretrain: finished; step 4 of 4" in text
    assert "100%" in text
    assert "█▆▃▁" in text
    assert "warning at step 4: the loss is low" in text
    assert max(map(len, text.splitlines()[1:])) <= 60


def test_a_watched_run_is_followed_to_its_end(tmp_path):
    ready = threading.Event()

    def job():
        try:
            with open_run(tmp_path / "r", "pretrain", {}, 3) as run:
                ready.set()
                time.sleep(0.3)
                run.progress(2)
                raise Canceled("paused")
        except Canceled:
            pass

    thread = threading.Thread(target=job)
    thread.start()
    ready.wait()
    lines, terminal = io.StringIO(), Terminal()
    other = threading.Thread(target=watch, args=(tmp_path / "r", terminal, 0.05))
    other.start()
    assert watch(tmp_path / "r", lines, refresh_seconds=0.05).state == "paused"
    thread.join()
    other.join()
    assert lines.getvalue().splitlines()[0].startswith("running on")
    assert lines.getvalue().splitlines()[-1] == "paused; step 2 of 3"
    assert "\x1b[" in terminal.getvalue(), "drawn over itself"
    assert terminal.getvalue().count("pretrain: ") > 1


def test_what_is_drawn_over_itself_fits_the_terminal(tmp_path, monkeypatch):
    with open_run(tmp_path / "r", "pretrain", {}, 1) as run:
        for number in range(20):
            run.metric(1, f"metric {number}", 1.0)
        run.warn("a long word of warning " * 9)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((50, 12)))
    terminal = Terminal()
    watch(tmp_path / "r", terminal)
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 11
    assert max(map(len, lines)) == 50
    assert "metric 3" in terminal.getvalue()


def test_who_stops_watching_is_told_that_the_run_goes_on(tmp_path, monkeypatch, capsys):
    with open_run(tmp_path / "r", "pretrain", {}, 1):
        monkeypatch.setattr("time.sleep", raise_interrupt)
        assert main(["runs", "watch", str(tmp_path / "r")]) == 130
        monkeypatch.undo()
        assert view_run(tmp_path / "r").state == "running"
    assert "no longer watched; the run itself goes on" in capsys.readouterr().err


def raise_interrupt(seconds):
    raise KeyboardInterrupt


def test_a_step_done_twice_counts_once_with_its_later_value(tmp_path):
    with open_run(tmp_path / "r", "pretrain", {}, 3) as run:
        for step, value in ((1, 5.0), (2, 4.0), (2, 3.0), (3, float("nan"))):
            run.metric(step, "loss", value)
    assert read_curves(tmp_path / "r") == {"loss": [(1, 5.0), (2, 3.0)]}


def test_a_line_of_bars_fits_its_width_and_a_flat_curve_is_flat():
    assert len(sparkline([float(n) for n in range(100)], 20)) == 20
    assert sparkline([1.0, 1.0], 20) == "▁▁"


def test_the_command_line_lists_and_shows(tmp_path, capsys):
    with open_run(tmp_path / "runs" / "glioma", "pretrain", {}, 4) as run:
        run.progress(4)
    assert main(["runs", "list", str(tmp_path / "runs")]) == 0
    assert main(["runs", "show", str(tmp_path / "runs" / "glioma")]) == 0
    out = capsys.readouterr().out
    assert out.count("finished; step 4 of 4") == 2
    assert main(["runs", "watch", str(tmp_path / "runs" / "glioma")]) == 0
    assert main(["runs", "show", str(tmp_path / "runs" / "nothing")]) == 2
    assert main(["runs", "pause"]) == 2


def test_where_no_run_is_the_list_says_so_and_how_to_look_elsewhere(capsys):
    assert main(["runs", "list"]) == 0
    assert (
        capsys.readouterr().out
        == f"{home() / 'runs'}: no run here; `voxmmsd runs list FOLDER` looks in another folder\n"
    )


def test_tensorboard_gets_the_curves(tmp_path, capsys):
    with open_run(tmp_path / "r", "pretrain", {}, 2) as run:
        run.metric(1, "loss", 2.0)
        run.metric(2, "loss", 1.5)
    assert main(["runs", "tensorboard", str(tmp_path / "r")]) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(capsys.readouterr().out.strip()).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 2.0), (2, 1.5)]
