"""What a second process brings: pre-training on two cores by two processes, against one core by one, in one run.

    python benchmarks/processes.py [--steps 8] [--channels 8 16 32 64 128] [--block 96]

Each process has one thread and its own batch. Efficiency is the samples per second of two, over twice those of one;
what is lost is the exchange of gradients, the waiting for each other, and the memory that the cores share. To tell the
last apart, two processes that do not know of each other are measured too. Where other work runs beside, only the
processor time tells something: what the exchange costs, without the waiting.
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

from voxmmsd.compute.processes import process_group, torchrun_processes
from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import NullRun
from voxmmsd.training.pretrain import PreTraining
from voxmmsd.training_config import PretrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--block", type=int, default=96)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.steps, tuple(given.channels), given.block)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_phantoms(Path(folder) / "in", 4, seed=0, side=96)
        prepare_cases(find_cases(Path(folder) / "in").cases, store)
        own = [__file__, "--worker", str(store), "--steps", str(given.steps), "--block", str(given.block), "--channels",
               *map(str, given.channels)]  # fmt: skip
        alone = seconds_per_step([own], torchrun=False)
        strangers = seconds_per_step([own, own], torchrun=False)
        together = seconds_per_step([own], torchrun=True)
    for clock in ("wall", "processor"):
        one, two, joint = (found[clock] for found in (alone, strangers, together))
        print(f"{clock} time: one process {one:.2f} s a step; two that do not know of each other {two:.2f} s; "
              f"two together {joint:.2f} s")  # fmt: skip
        print(f"  efficiency of two together: {100 * one / joint:.0f} %, of which the shared memory allows "
              f"{100 * one / two:.0f} %")  # fmt: skip


def seconds_per_step(commands: list[list[str]], torchrun: bool) -> dict[str, float]:
    """By clock the median step of the slowest of the processes started side by side."""
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if torchrun else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, *by, *command], stdout=subprocess.PIPE, text=True, env=environment)
        for command in commands
    ]
    lines = [line for process in started for line in process.communicate()[0].splitlines() if line.startswith("{")]
    found = [json.loads(line) for line in lines]
    return {clock: max(medians[clock] for medians in found) for clock in found[0]}


def work(store: Path, steps: int, channels: tuple[int, ...], block: int) -> None:
    """Time this process's steps; the first two warm up."""
    given = {
        "folders": (str(store),),
        "channels": channels,
        "block": block,
        "run": "none",
        "threads": 1,
        "device": "cpu",
    }
    config, us = make_config(PretrainConfig, given), torchrun_processes()
    with process_group(us, torch.device("cpu")):
        training = PreTraining(config, NullRun(Path("none")), open_store(store), (), us)
        clocks = {"wall": time.perf_counter, "processor": time.process_time}
        seconds: dict[str, list[float]] = {name: [] for name in clocks}
        for _ in range(steps + 2):
            started = {name: clock() for name, clock in clocks.items()}
            training.train_step()
            training.step += 1
            for name, clock in clocks.items():
                seconds[name].append(clock() - started[name])
    medians = json.dumps({name: statistics.median(each[2:]) for name, each in seconds.items()})
    os.write(1, f"{medians}\n".encode())  # in one piece: both processes have one pipe


if __name__ == "__main__":
    main()
