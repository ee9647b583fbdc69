"""Whatever the command line is provoked with, it ends soon and says what to do (``benchmarks/provoke.py``)."""

import os
import sys
from collections import Counter

import pytest

from benchmarks.provoke import MET, provocations, run

forks = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")


def test_provocations_are_seeded_and_of_every_kind():
    one, other = (list(provocations(300, seed)) for seed in (3, 3))
    assert one == other != list(provocations(300, 4))
    assert min(Counter(each.kind for each in one).values()) > 20


@forks
@pytest.mark.long
def test_a_sample_of_provocations_is_met():
    table = run(count=60, seed=7)
    assert {name for counts in table.values() for name in counts} == {MET}, table
