"""Many cases, one in ten bad: the good ones are done, the bad ones named, memory is flat (``benchmarks/load.py``)."""

import pytest

from benchmarks.load import Watched, load, verdict


@pytest.mark.long
def test_of_forty_cases_the_good_are_done_the_bad_are_named_and_memory_stays_flat(tmp_path):
    assert {verb: wrong for verb, (_, wrong) in load(tmp_path, count=40, side=24).items()} == {
        "prepare": [],
        "segment": [],
    }


FINE = Watched(2, "voxmmsd: error: case b: damaged", 1.0, [(0, 50.0), (20, 80.0), (21, 82.0), (40, 85.0)])


@pytest.mark.parametrize(
    ("watched", "there", "says"),
    [
        (FINE, {"a"}, None),
        (FINE, set(), "a: is missing"),
        (FINE, {"a", "b"}, "b: is bad and was done"),
        (Watched(2, "", 1.0, FINE.memory), {"a"}, "b: was not named"),
        (Watched(0, FINE.said, 1.0, FINE.memory), {"a"}, "exit code 0"),
        (Watched(2, FINE.said, 1.0, [*FINE.memory, (41, 90.0)]), {"a"}, "memory grew from 80 to 90 MiB"),
    ],
)
def test_what_goes_wrong_under_load_is_told(watched, there, says):
    assert verdict(watched, ["a"], ["b"], there) == ([says] if says else [])
