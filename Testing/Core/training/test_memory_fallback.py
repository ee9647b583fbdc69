import pytest
from torch import nn

from voxmmsd.compute.processes import Processes
from voxmmsd.errors import RunError
from voxmmsd.runs import NullRun
from voxmmsd.training.memory_fallback import MemoryFallback


def test_a_batch_is_computed_in_more_and_more_parts_of_equal_size_and_then_it_ends(tmp_path):
    memory = MemoryFallback(6, NullRun(tmp_path), Processes())
    parts = []
    for _ in range(3):
        memory.make_room(nn.Linear(1, 1), 0, "no room")
        parts.append(memory.parts)
    assert parts == [2, 3, 6]
    with pytest.raises(RunError, match="even with one case at a time"):
        memory.make_room(nn.Linear(1, 1), 0, "no room")
