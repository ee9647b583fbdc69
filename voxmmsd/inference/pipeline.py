"""A pipeline of three stages: while one item is computed, the next is read and the previous one written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from voxmmsd.errors import VoxMMSDError
from voxmmsd.failures import failure_of_case

Item = TypeVar("Item")
Read = TypeVar("Read")
Computed = TypeVar("Computed")
Written = TypeVar("Written")


def pipelined(
    items: Sequence[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Item, Read], Computed],
    write: Callable[[Computed], Written],
    ahead: bool = True,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Item, Written | VoxMMSDError]]:
    """Each item with what ``write`` gave, or with the error of the stage that it failed in, in order.

    ``compute`` runs in the caller's thread, the other two in one thread each; at most one item waits before and behind
    it. ``ahead`` False: an item is read when the one before has been written, which takes the least memory. What was
    computed is written even when the caller or a fault stops the rest. ``meanwhile`` is called while the first
    item is read; its error is raised, and nothing is computed.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        upcoming: Future[Read] | None = reader.submit(read, items[0]) if items else None
        meanwhile()
        last: tuple[Item, Future[Written] | VoxMMSDError] | None = None
        for number, item in enumerate(items):
            reading, upcoming = upcoming or reader.submit(read, item), None
            outcome: Future[Written] | VoxMMSDError
            try:
                given = reading.result()
                if ahead and number + 1 < len(items):
                    upcoming = reader.submit(read, items[number + 1])
                outcome = writer.submit(write, compute(item, given))
            except Exception as error:
                outcome = failure_of_case(error)
            if last:
                yield last[0], _settled(last[1])
            last = (item, outcome)
            if not ahead:
                _settled(outcome)
        if last:
            yield last[0], _settled(last[1])


def _settled(outcome: Any) -> Any:
    """The result or the error, once it is there."""
    if isinstance(outcome, VoxMMSDError):
        return outcome
    try:
        return outcome.result()
    except Exception as error:
        return failure_of_case(error)
