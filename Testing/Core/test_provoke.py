"""Whatever the command line is provoked with, it ends soon and says what to do (``benchmarks/provoke.py``)."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from conftest import REPOSITORY

from benchmarks.provoke import provocations

forks = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")


def test_provocations_are_seeded_and_of_every_kind():
    one, other = (list(provocations(300, seed)) for seed in (3, 3))
    assert one == other != list(provocations(300, 4))
    assert min(Counter(each.kind for each in one).values()) > 20


@forks
@pytest.mark.long
def test_a_sample_of_provocations_is_met():
    """As a program of its own: its children are forked, and a process of pytest has threads and streams of its own."""
    command = [sys.executable, "benchmarks/provoke.py", "--count", "40", "--seed", "7"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
