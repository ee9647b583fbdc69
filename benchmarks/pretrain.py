"""Pre-training's speed, side by side with a plain implementation of docs/method.md, in one run.

    python benchmarks/pretrain.py [--store DIR] [--preset small] [--device cpu] [--precision float32] [--steps 6]

Prints samples per second of view making (one core on a CPU), a step's time split into data, views, student, teacher,
backward and update, the share of the time that the step waits for data, the peak memory, and ratios of medians to the
plain implementation. Without --store, two phantoms of a BraTS case's size stand in for scans.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_pretraining import plain_batch, plain_step

from voxmmsd.compute.devices import Precision, choose_device, keep_freed_memory
from voxmmsd.config import PRECISIONS, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import PreparedCase, open_store, prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.pretext import vox_mmsd
from voxmmsd.training.blocks import BlockSampler
from voxmmsd.training.optimization import optimize, sgd
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.pairs import draw_pairs
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import make_views


class Clock:
    """Seconds per named part, the device waited for at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds[name].append(time.perf_counter() - started)

    def timed(self, name: str, function: Callable) -> Callable:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return wrapped

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name][1:] or self.seconds[name])  # the first one warms up

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        entries = open_store(given.store) if given.store else _phantoms(Path(folder))
        config = make_config(PretrainConfig, {"preset": given.preset, "precision": given.precision})
        compare(entries, config, choose_device(given.device), given.steps)


def _phantoms(folder: Path) -> tuple[PreparedCase, ...]:
    write_phantoms(folder / "in", 2, seed=0, side=176)
    return prepare_cases(find_cases(folder / "in").cases, folder / "store").entries


def compare(entries: tuple[PreparedCase, ...], config: PretrainConfig, device: torch.device, steps: int) -> None:
    """Measure and print."""
    precision = Precision(device, config.precision).name
    print(
        f"{config.preset}: blocks of {config.block}^3, {config.batch} cases a step, {device}, ours in {precision}, "
        f"{len(entries)} cases"
    )
    sampler = BlockSampler(entries, config.block, config.batch, config.seed, device)
    scans = [np.array(entry.image()) for entry in entries]
    plain = _measure_plain(scans, config, device, steps)
    keep_freed_memory()  # as the training loop does
    views = _measure_views(sampler, scans, config, device, steps)
    ours, memory = _measure_step(sampler, config, device, steps)
    per_sample = {name: views.median(name) / config.batch for name in ("ours", "plain")}
    ours_ms, plain_ms = 1000 * per_sample["ours"], 1000 * per_sample["plain"]
    print(f"views, one core: ours {ours_ms:.1f} ms a sample ({1000 / ours_ms:.1f} samples/s), plain {plain_ms:.0f} ms; "
          f"ratio {plain_ms / ours_ms:.1f}x")  # fmt: skip
    names = ("data", "views", "pairs", "student", "teacher", "backward and update", "teacher's update")
    step = ours.median("step")
    print(f"step: ours {step:.3f} s = " + ", ".join(f"{name} {ours.median(name):.3f}" for name in names))
    print(f"waiting for data: {100 * ours.median('data') / step:.1f} % of the step; peak memory {memory}")
    whole = plain.median("data") + plain.median("step")
    print(f"step: plain {whole:.3f} s (of it data {plain.median('data'):.3f}); ratio {whole / step:.2f}x")


def _measure_views(
    sampler: BlockSampler, scans: list[np.ndarray], config: PretrainConfig, device: torch.device, steps: int
) -> Clock:
    clock, threads = Clock(device), torch.get_num_threads()
    torch.set_num_threads(1)
    method = vox_mmsd.VoxMMSD(config)
    rng = np.random.default_rng(0)
    for step in range(steps + 1):
        generator = torch.Generator(device).manual_seed(step)
        with clock.part("ours"):
            blocks = sampler.batch(step)
            views = make_views(blocks, method.mask, PretrainIntensityRanges(), generator)
            draw_pairs(blocks, views, config.mask_size, method.pairs, generator)
        chosen = [scans[case] for case in sampler.places(step)[0]]
        with clock.part("plain"):
            plain_batch(chosen, config, rng)
    torch.set_num_threads(threads)
    return clock


def _measure_step(sampler: BlockSampler, config: PretrainConfig, device: torch.device, steps: int) -> tuple[Clock, str]:
    clock, precision = Clock(device), Precision(device, config.precision)
    method = vox_mmsd.VoxMMSD(config).to(device).to(memory_format=torch.channels_last_3d).train()
    method.autocast = precision.autocast
    optimizer = sgd(method, 1e-5)
    make, draw = vox_mmsd.make_views, vox_mmsd.draw_pairs
    vox_mmsd.make_views, vox_mmsd.draw_pairs = clock.timed("views", make), clock.timed("pairs", draw)
    method.unet.forward = clock.timed("student", method.unet.forward)
    method.teacher.networks[0].forward = clock.timed("teacher", method.teacher.networks[0].forward)
    for step in range(steps + 1):
        with clock.part("step"):
            with clock.part("data"):
                blocks = sampler.batch(step)
            method.start_step()
            loss = method.losses(blocks, step, torch.Generator(device).manual_seed(step))["loss"]
            with clock.part("backward and update"):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimize(loss, method, optimizer, precision, 1e-3)
            with clock.part("teacher's update"):
                method.after_update(step)
    vox_mmsd.make_views, vox_mmsd.draw_pairs = make, draw
    if device.type == "cuda":
        return clock, f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of the GPU's"
    return clock, f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def _measure_plain(scans: list[np.ndarray], config: PretrainConfig, device: torch.device, steps: int) -> Clock:
    clock = Clock(device)
    method = vox_mmsd.VoxMMSD(config).to(device).train()
    method.teacher.requires_grad_(True)
    own = [*method.unet.parameters(), *method.projector.parameters(), *method.restorer.parameters()]
    optimizer = torch.optim.SGD(own, 1e-3, momentum=0.9)
    rng = np.random.default_rng(0)
    for step in range(steps + 1):
        chosen = [scans[(step * config.batch + item) % len(scans)] for item in range(config.batch)]
        with clock.part("data"):
            batch = tuple(tensor.to(device) for tensor in plain_batch(chosen, config, rng))
        with clock.part("step"):
            plain_step(method, optimizer, batch)
    return clock


if __name__ == "__main__":
    main()
