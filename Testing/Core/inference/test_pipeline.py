import errno
import threading
import time

import pytest

from voxmmsd.errors import Canceled, InputError
from voxmmsd.failures import Fault
from voxmmsd.inference.pipeline import pipelined


def test_the_next_is_read_and_the_last_is_written_while_one_is_computed():
    reading = {number: threading.Event() for number in range(3)}
    computing = {number: threading.Event() for number in range(3)}

    def read(item):
        reading[item].set()
        return item

    def compute(item, given):
        computing[item].set()
        assert item == 2 or reading[item + 1].wait(10)  # would wait for ever, were they read one by one
        return given

    def write(given):
        assert given == 2 or computing[given + 1].wait(10)
        return given * 10

    assert list(pipelined(range(3), read, compute, write)) == [(0, 0), (1, 10), (2, 20)]


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_an_item_that_fails_does_not_stop_the_others(stage, ahead):
    def at(name):
        def work(*given):
            if name == stage and given[-1] == 1:
                raise InputError("bad one", "give a good one")
            return given[-1]

        return work

    outcomes = list(pipelined(range(3), at("read"), at("compute"), at("write"), ahead))
    assert [item for item, _ in outcomes] == [0, 1, 2]
    assert [str(outcome) for _, outcome in outcomes] == ["0", "bad one; give a good one", "2"]


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_a_fault_of_ours_is_its_item_s_failure(stage):
    def at(name):
        def work(*given):
            if name == stage and given[-1] == 1:
                raise ZeroDivisionError("of ours")
            return given[-1]

        return work

    outcomes = dict(pipelined(range(3), at("read"), at("compute"), at("write")))
    assert (outcomes[0], outcomes[2]) == (0, 2)
    assert isinstance(outcomes[1], Fault) and "ZeroDivisionError" in outcomes[1].problem


@pytest.mark.parametrize("reason", [Canceled("stop"), OSError(errno.ENOSPC, "No space left on device")])
def test_the_wish_to_stop_and_a_full_disk_end_all_and_what_was_computed_is_written(reason):
    written = []

    def compute(item, given):
        if item == 1:
            raise reason
        return given

    with pytest.raises(type(reason)):
        list(pipelined(range(3), lambda item: item, compute, written.append))
    assert written == [0]


def test_without_reading_ahead_one_item_is_there_at_a_time():
    there, most = set(), []

    def read(item):
        there.add(item)
        most.append(len(there))
        return item

    def write(item):
        time.sleep(0.05)  # whoever read ahead would be here by now
        there.remove(item)

    list(pipelined(range(4), read, lambda item, given: given, write, ahead=False))
    assert max(most) == 1


def test_nothing_to_do_is_done_at_once():
    assert list(pipelined([], None, None, None)) == []


def test_what_is_to_be_opened_meanwhile_is_opened_while_the_first_item_is_read():
    reading, opened = threading.Event(), threading.Event()

    def read(item):
        reading.set()
        assert opened.wait(10)  # would wait for ever, were it opened afterwards
        return item

    def open_():
        assert reading.wait(10)
        opened.set()

    assert list(pipelined([0, 1], read, lambda item, given: given, lambda given: given, True, open_)) == [
        (0, 0),
        (1, 1),
    ]


def test_what_fails_to_open_ends_all_before_anything_is_computed():
    def broken():
        raise InputError("no engine", "install one")

    with pytest.raises(InputError, match="no engine"):
        list(pipelined([0], lambda item: item, lambda *given: pytest.fail("computed"), pytest.fail, True, broken))
