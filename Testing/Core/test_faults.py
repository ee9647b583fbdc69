"""Killed at any file operation, a verb leaves whole files, and called again it succeeds (``benchmarks/faults.py``)."""

import random
import sys

import pytest

from benchmarks.faults import attack, broken, calls, prepared


@pytest.fixture(scope="module")
def verbs(tmp_path_factory):
    return calls(prepared(tmp_path_factory.mktemp("faults")))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize(
    ("verb", "kills"),
    [("phantom", 2), ("prepare", 3), ("segment", 3), ("evaluate", 2), ("library add", 4), ("models accept", 2),
     ("models export", 2), ("finetune", 2)],
)  # fmt: skip
def test_nothing_is_lost_by_a_kill_and_the_second_call_succeeds(verb, kills, verbs, tmp_path):
    met, wrong, _ = attack(verb, verbs[verb], tmp_path, kills, random.Random(verb))
    assert met == kills
    assert wrong == []


@pytest.mark.long
def test_a_half_written_file_would_be_noticed(tmp_path):
    (tmp_path / "status.json").write_text('{"state": ')
    (tmp_path / "a-t1c.nii.gz").write_bytes(b"\x1f\x8bhalf")
    assert len(broken(tmp_path)) == 2
