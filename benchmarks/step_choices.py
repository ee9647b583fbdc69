"""How the network is laid out in memory, compiled, updated and computed: what a training step gains by each.

    python benchmarks/step_choices.py [--channels 8 16 32 64 128] [--patch 64] [--device cpu] [--threads 1] [--rounds 5]
        [--only "fused update"]

One step is forward, backward and update on a batch of 2. The ways take turns, so that what else the machine does
meets all of them; the figure is the median of each way's share of the plain step of the same round. ``torch.compile``
needs a C++ compiler on a CPU and takes its first step apart: its seconds are printed too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from voxmmsd.compute.devices import Precision, choose_device, keep_freed_memory
from voxmmsd.errors import ConfigError
from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.heads import SegmentationNetwork

CLASSES = 4


@dataclass(frozen=True)
class Backend:
    """One choice of each kind; ``optimizer`` are the options that SGD gets."""

    name: str
    channels_last: bool
    compiled: bool
    optimizer: str
    precision: str = "float32"

    def step(self, options: argparse.Namespace, device: torch.device) -> Callable[[], None]:
        """A network of this way and what trains it by one step; the same weights and the same patches for all."""
        torch.manual_seed(0)
        network = SegmentationNetwork(NetworkConfig(channels=tuple(options.channels)), CLASSES).to(device).train()
        image = torch.rand(2, 4, *3 * (options.patch,), device=device)
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            image = image.to(memory_format=torch.channels_last_3d)
        label = torch.randint(CLASSES, (2, *image.shape[2:]), device=device)
        chosen = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}[self.optimizer]
        optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, **chosen)
        forward, precision = torch.compile(network) if self.compiled else network, Precision(device, self.precision)

        def step() -> None:
            with precision.autocast():
                loss = F.cross_entropy(forward(image).float(), label)
            optimizer.zero_grad(set_to_none=True)
            precision.scaler.scale(loss).backward()
            precision.scaler.step(optimizer)
            precision.scaler.update()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return step


WAYS = (
    Backend("plain: contiguous, eager, foreach", False, False, "foreach"),
    Backend("channels last", True, False, "foreach"),
    Backend("compiled", False, True, "foreach"),
    Backend("channels last, compiled", True, True, "foreach"),
    Backend("channels last, fused update", True, False, "fused"),
    Backend("channels last, update in a loop", True, False, "loop"),
    Backend("channels last, fused update, half", True, False, "fused", "half"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="the ways with this in their names; the first is the plain one")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()  # as the training loop does
    device = choose_device(options.device)
    steps = {}
    for way in (way for way in WAYS if options.only in way.name):
        try:
            steps[way.name] = way.step(options, device)
        except ConfigError as error:
            print(f"{way.name}: left out, {error.problem}")
            continue
        first = _seconds(steps[way.name])
        print(f"{way.name}: first step {first:.1f} s", flush=True)
    rounds = [{name: _seconds(step) for name, step in steps.items()} for _ in range(options.rounds)]
    print(f"\nbatch 2 of {options.patch}^3, channels {options.channels}, {device}, torch {torch.__version__}")
    for name in steps:
        share = statistics.median(times[next(iter(steps))] / times[name] for times in rounds)
        print(f"{name:35} {statistics.median(times[name] for times in rounds):.3f} s, {share:.2f}x")


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
