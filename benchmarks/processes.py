"""What a second process brings: pre-training on two cores by two processes, against one core by one, in one run.

    python benchmarks/processes.py [--steps 8] [--channels 8 16 32 64 128]

Each process has one thread and its own batch. Efficiency is the samples per second of two, over twice those of one;
what is lost is the exchange of gradients, the waiting for each other, and the memory that the cores share. To tell the
last apart, two processes that do not know of each other are measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from voxmmsd.config import PretrainConfig, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.networks.processes import by_torchrun, joined
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs.writing import Bystander
from voxmmsd.training.pretrain import PreTraining


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.steps, tuple(given.channels))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_phantoms(Path(folder) / "in", 4, seed=0, side=96)
        prepare_cases(find_cases(Path(folder) / "in").cases, store)
        own = [__file__, "--worker", str(store), "--steps", str(given.steps), "--channels", *map(str, given.channels)]
        alone = seconds_per_step([own], torchrun=False)
        strangers = seconds_per_step([own, own], torchrun=False)
        together = seconds_per_step([own], torchrun=True)
    print(f"one process {alone:.2f} s a step; two that do not know of each other {strangers:.2f} s; "
          f"two together {together:.2f} s")  # fmt: skip
    print(f"efficiency of two together: {100 * alone / together:.0f} %, of which the shared memory allows "
          f"{100 * alone / strangers:.0f} %")  # fmt: skip


def seconds_per_step(commands: list[list[str]], torchrun: bool) -> float:
    """The median step of the slowest of the processes started side by side."""
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if torchrun else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, *by, *command], stdout=subprocess.PIPE, text=True, env=environment)
        for command in commands
    ]
    lines = [line for process in started for line in process.communicate()[0].splitlines() if line.startswith("{")]
    return max(json.loads(line)["median"] for line in lines)


def work(store: Path, steps: int, channels: tuple[int, ...]) -> None:
    """Time this process's steps; the first two warm up."""
    given = {"folders": (str(store),), "channels": channels, "run": "none", "threads": 1, "device": "cpu"}
    config, us = make_config(PretrainConfig, given), by_torchrun()
    with joined(us, torch.device("cpu")):
        training = PreTraining(config, Bystander(Path("none"), steps), open_store(store), (), us)
        seconds = []
        for _ in range(steps + 2):
            started = time.perf_counter()
            training.train_step()
            training.step += 1
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"median": statistics.median(seconds[2:])}), flush=True)


if __name__ == "__main__":
    main()
