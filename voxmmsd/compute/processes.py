"""Distributed training: one process, or as many as torchrun started.

Without torchrun every function here returns at once. Gradients are averaged by DistributedDataParallel; this module
synchronizes everything else.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from voxmmsd.compute.rendezvous import store_of_this_start
from voxmmsd.errors import Canceled

PROCESS_GROUP_TIMEOUT = timedelta(hours=4)  # the others wait while the first one prepares cases or validates


@dataclass(frozen=True)
class Processes:
    """Rank of this process among ``size``; ``local_rank`` is its rank on its host."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Only the first process writes files."""
        return self.rank == 0

    @property
    def is_distributed(self) -> bool:
        return self.size > 1


def torchrun_processes() -> Processes:
    """From the environment set by torchrun; a single process without it."""
    get = os.environ.get
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Processes()
    return Processes(int(get("RANK", 0)), int(get("WORLD_SIZE", 1)), int(get("LOCAL_RANK", 0)))


@contextmanager
def process_group(processes: Processes, device: torch.device) -> Iterator[None]:
    """Create the process group: NCCL for tensors on GPUs, gloo for the rest.

    What was parallel inside the block must be let go by its end. Gloo's threads end with the last object that holds
    their group; one of them that lets go of a tensor while the interpreter is already ending aborts the process
    (https://github.com/pytorch/pytorch/pull/179291), and torchrun would take a finished training for a failed one.
    """
    if not processes.is_distributed:
        yield
        return
    # DistributedDataParallel imports it; imported later, its functions' default arguments would hold the group forever.
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, size = next(dist.rendezvous("env://", timeout=PROCESS_GROUP_TIMEOUT))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        store=store_of_this_start(store, processes.rank, processes.size),
        rank=rank,
        world_size=size,
        timeout=PROCESS_GROUP_TIMEOUT,
    )
    # Not where something failed: NCCL's teardown waits for the others, who wait for this one. The process then ends
    # without it, and torchrun ends the others.
    try:
        yield
    except Canceled:  # agreed by all
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


@contextmanager
def first_rank_first(processes: Processes) -> Iterator[None]:
    """Run the block in the first process, then in all others, which read what it has written."""
    if processes.is_distributed and not processes.is_first:
        dist.barrier()
    yield
    if processes.is_distributed and processes.is_first:
        dist.barrier()


def broadcast_from_first(value: Any, processes: Processes) -> Any:
    """Broadcast ``value`` of the first process to all."""
    if not processes.is_distributed:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def mean_of_processes(tensor: Tensor) -> Tensor:
    """Mean of ``tensor`` over the processes, without gradient; the tensor itself in a single process.

    A weighted mean over all processes is the mean over the processes of: weighted sum / (this mean of the weights).
    """
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    summed = tensor.detach().clone().float()
    dist.all_reduce(summed)
    return summed / dist.get_world_size()


def mean_of_values(values: Mapping[str, float], processes: Processes) -> dict[str, float]:
    """Mean of each named value over the processes."""
    if not processes.is_distributed:
        return dict(values)
    means = mean_of_processes(torch.tensor(list(values.values()), dtype=torch.float32))
    return dict(zip(values, means.tolist(), strict=True))
