"""What is printed reaches any terminal, and no terminal is commanded by it."""

import io
import os
import subprocess
import sys

import pytest

from voxmmsd import terminal
from voxmmsd.terminal import printable, progress_bar, safe_streams


def run(*arguments, env=None, **options):
    return subprocess.run(
        [sys.executable, "-m", "voxmmsd", *map(str, arguments)],
        capture_output="stdout" not in options and "stderr" not in options,
        env={**os.environ, **(env or {})},
        timeout=60,
        **options,
    )


def strange(folder):
    (folder / "p\x1b[31m1\u202e").mkdir(parents=True)
    (folder / "p\x1b[31m1\u202e" / "T1_é.nii.gz").touch()
    return folder


def test_control_characters_are_spelled_out():
    assert printable("a\x1b[2Jb\x9bc\x07\n\td\r") == "a\\x1b[2Jb\\x9bc\\x07\n\td\r"
    assert printable("left\u202eright") == "left\\u202eright"


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_an_encoding_that_lacks_letters_and_a_name_with_commands_are_printed(tmp_path, env):
    done = run("cases", strange(tmp_path / "set"), env=env)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout and b"\\x1b[31m" in done.stdout


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_does_not_end_the_work(tmp_path, closed):
    command = f'exec "{sys.executable}" -m voxmmsd phantom "{tmp_path}/new" --count 1 --shape 16 {closed}>&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "dataset.json").is_file() or list((tmp_path / "new").iterdir())


def test_a_reader_that_goes_away_leaves_no_complaint(tmp_path):
    for number in range(300):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / "T1.nii.gz").touch()
    command = f'"{sys.executable}" -m voxmmsd cases "{tmp_path}" | head -n 1'
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60)
    assert done.stderr == b""


def test_progress_is_a_plain_line_where_there_is_no_terminal(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    clock = iter([0.0, 1.0, 20.0, 20.0, 21.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    with progress_bar(total=9, desc="prepare", unit="case") as bar:
        bar.set_postfix(loss="0.1")
        for _ in range(3):
            bar.update()
    assert said.getvalue() == "prepare: 2 of 9 cases, loss 0.1\n"


def test_streams_are_given_back():
    before = sys.stdout, sys.stderr
    with safe_streams():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before
