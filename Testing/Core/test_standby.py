"""A process on standby: what it is told it does as a process that was started for it."""

import os
import subprocess
import sys

import pytest

from voxmmsd.standby import STANDBY, request_line


def standby(code="from voxmmsd.cli import entry_point; entry_point()"):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, STANDBY: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def test_it_does_what_it_is_told_in_the_environment_that_it_is_told(tmp_path):
    process = standby()
    arguments = ["models", "list"]
    said, _ = process.communicate(
        request_line(arguments, {"VOXMMSD_HOME": str(tmp_path), "VOXMMSD_BUNDLED": str(tmp_path)})
    )
    assert process.returncode == 0, said
    plain = subprocess.run(
        [sys.executable, "-m", "voxmmsd", *arguments],
        env={**os.environ, "VOXMMSD_HOME": str(tmp_path), "VOXMMSD_BUNDLED": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert said == plain.stdout + plain.stderr


@pytest.mark.parametrize("cut_short", ["", '{"arguments": ["doc'])
def test_it_ends_with_code_0_if_the_process_that_started_it_has_gone(cut_short):
    process = standby()
    assert process.communicate(cut_short) == ("", None)
    assert process.returncode == 0


def test_it_ends_when_nobody_comes():
    code = "from voxmmsd import standby; standby.WAIT_SECONDS = 0.5; standby.read_request(); print('read')"
    process = standby(code)
    assert process.wait(timeout=300) == 0
    assert process.stdout.read() == ""
