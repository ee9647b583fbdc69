import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from voxmmsd.runs.parent_watch import ENDS_WITH, exit_with_parent, name_of_this_process
from voxmmsd.runs.pids import process_start

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
# Ends with the one named, has started one that is to live on, and calls a program.
COMPANION = f"""
import os, subprocess, sys, time
from voxmmsd.runs.parent_watch import ENDS_WITH, exit_with_parent
exit_with_parent()
detached = subprocess.Popen({SLEEPER!r}, start_new_session=True)
called = subprocess.Popen({SLEEPER!r})
print(detached.pid, called.pid, ENDS_WITH in os.environ, flush=True)
time.sleep(600)
"""


@pytest.fixture
def other():
    process = subprocess.Popen(SLEEPER)
    yield process
    process.kill()
    process.wait()


def companion_of(name):
    """A process that ends with its parent, and the processes that it started: one detached, one called."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMPANION], env={**os.environ, ENDS_WITH: name}, stdout=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    detached, called, is_named = process.stdout.readline().split()
    assert is_named == "False"
    return process, psutil.Process(int(detached)), psutil.Process(int(called))


@pytest.mark.skipif(sys.platform == "win32", reason="there a called program is not ended")
def test_it_ends_with_the_other_and_with_what_it_called_but_not_with_what_it_detached(other):
    process, detached, called = companion_of(f"{other.pid}")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2.5)
        other.kill()
        other.wait()
        assert process.wait(timeout=30) != 0
        called.wait(timeout=30)
        assert detached.is_running()
    finally:
        detached.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a start is told in whole seconds, or not at all")
def test_a_process_that_started_at_another_time_is_another(other):
    code = "import time; from voxmmsd.runs import parent_watch as p; p.exit_with_parent(); time.sleep(600)"
    named = {**os.environ, ENDS_WITH: f"{other.pid} 1"}
    ended = subprocess.run([sys.executable, "-c", code], env=named, timeout=60, start_new_session=True)
    assert ended.returncode == -signal.SIGKILL  # its own group, which is it alone
    assert name_of_this_process() == f"{os.getpid()} {process_start(os.getpid())}"


def test_without_a_name_nothing_ends(monkeypatch):
    monkeypatch.delenv(ENDS_WITH, raising=False)
    before = threading.active_count()
    exit_with_parent()
    assert threading.active_count() == before
