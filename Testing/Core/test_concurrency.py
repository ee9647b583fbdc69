import os
import threading
import time
from concurrent.futures.process import _MAX_WINDOWS_WORKERS
from pathlib import Path

import pytest

from voxmmsd import concurrency
from voxmmsd.concurrency import both, mapped, process_count
from voxmmsd.errors import InputError


def test_two_functions_run_at_once_and_their_results_come_in_order():
    met = threading.Barrier(2, timeout=10)  # would break, were they called one after the other

    def called(name):
        met.wait()
        return name

    assert both(lambda: called("first"), lambda: called("second")) == ("first", "second")
    assert mapped(called, ["a", "b"]) == ["a", "b"]


def fails(text, after=0.0):
    time.sleep(after)
    raise InputError(text, "give a good one")


@pytest.mark.parametrize("at_once", [True, False])
def test_the_error_is_that_of_the_first_in_order_even_if_another_fails_before(at_once):
    with pytest.raises(InputError, match="the first"):
        both(lambda: fails("the first", after=0.1), lambda: fails("the second"), at_once)
    with pytest.raises(InputError, match="the second"):
        both(lambda: "fine", lambda: fails("the second"), at_once)
    with pytest.raises(InputError, match="2"):
        mapped(
            lambda item: fails(str(item), after=0.1) if item == 2 else fails(str(item)) if item > 2 else 0,
            [1, 2, 3],
            at_once,
        )


def test_nothing_runs_on_behind_an_error():
    ended = []

    def slow():
        time.sleep(0.2)
        ended.append(True)

    with pytest.raises(InputError):
        both(lambda: fails("at once"), slow)
    assert ended


def test_one_after_the_other_the_second_is_not_begun_after_an_error():
    begun = []
    with pytest.raises(InputError):
        both(lambda: fails("at once"), lambda: begun.append(True), at_once=False)
    assert not begun


def test_all_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert concurrency.usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert concurrency.usable_cores() == 64


def test_no_module_takes_the_cores_of_the_machine_for_its_own():
    """``min`` with the machine's is a bound; ``or`` with them is a default."""
    package = Path(concurrency.__file__).parent
    named = [file for file in package.rglob("*.py") if "or os.cpu_count()" in file.read_text(encoding="utf-8")]
    assert named == []


def test_windows_gets_no_more_processes_than_its_pools_allow(monkeypatch):
    monkeypatch.setattr(concurrency.os, "cpu_count", lambda: 64)
    assert (process_count(100, 200), process_count(3, 200), process_count(100, 2)) == (100, 3, 2)
    monkeypatch.setattr(concurrency.sys, "platform", "win32")
    assert process_count(100, 200) == _MAX_WINDOWS_WORKERS
