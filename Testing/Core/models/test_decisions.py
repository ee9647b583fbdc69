import pytest

from voxmmsd.errors import ModelError
from voxmmsd.models.decisions import ACCEPTED, REJECTED, Decision, append, latest_decisions, read

ONE, TWO, AGAIN = Decision("a", ACCEPTED, "t1"), Decision("b", ACCEPTED, "t2"), Decision("a", REJECTED, "t3")


def test_decisions_are_read_in_the_order_in_which_they_were_made(tmp_path):
    file = tmp_path / "home" / "decisions.jsonl"
    assert read(file) == ()
    for decision in (ONE, TWO, AGAIN):
        append(file, decision)
    assert read(file) == (ONE, TWO, AGAIN)
    assert list(latest_decisions(read(file)).items()) == [("b", TWO), ("a", AGAIN)]


def test_half_a_line_of_a_killed_writer_decides_nothing_and_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "decisions.jsonl"
    append(file, ONE)
    with file.open("ab") as stream:
        stream.write(b'{"model": "b", "deci')
    assert read(file) == (ONE,)
    append(file, AGAIN)
    assert read(file) == (ONE, AGAIN)


def test_a_line_that_says_something_else_is_named(tmp_path):
    file = tmp_path / "decisions.jsonl"
    file.write_text('{"model": "a", "decision": "accepted", "time": "t"}\n{"model": "b"}\n')
    with pytest.raises(ModelError, match="line 2: is not a decision"):
        read(file)


def test_a_damaged_line_is_not_passed_over_as_one_that_was_cut_off(tmp_path):
    file = tmp_path / "decisions.jsonl"
    whole = '{"model": "a", "decision": "accepted", "time": "t"}\n'
    file.write_text(whole + '{"model": b", "decision": "accepted", "time": ""}\n')
    with pytest.raises(ModelError, match="line 2: is damaged"):
        read(file)
