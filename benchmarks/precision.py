"""Does bfloat16 hurt a short training, or its correction? Two by two: the precision of either, on phantoms.

    python benchmarks/precision.py [--seeds 0 1 2 3] [--steps 12] [--more-steps 120]

A tiny model learns three phantoms in a few steps, from scratch, and is then fine-tuned on a library of four more, as a
correction is. Printed: hold-out Dice (WT TC ET, three phantoms) of the model before and after. Takes a CPU that has
bfloat16 (``voxmmsd doctor``), and half a minute of one core for each line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from voxmmsd.phantom import write_phantoms

PRECISIONS = ("float32", "half")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--steps", type=int, default=12, help="of the first model")
    parser.add_argument("--more-steps", type=int, default=120, help="of its correction")
    options = parser.parse_args(arguments)
    print("seed, precision of the first model, of its correction: hold-out Dice before, after")
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name, count, seed in (("old", 3, 0), ("new", 4, 7), ("hold-out", 3, 9)):
            write_phantoms(folder / name, count, seed=seed, side=48)
        for seed, first in product(options.seeds, PRECISIONS):
            _corrected(folder, seed, first, options.steps, options.more_steps)


def _corrected(folder: Path, seed: int, first: str, steps: int, more_steps: int) -> None:
    """Train a first model, and correct it in both precisions."""
    name = f"{first}-{seed}"
    tiny = ["--preset", "tiny", "--workers", "1", "--threads", "1", "--seed", str(seed)]
    library, start = folder / f"library-{name}", folder / f"first-{name}"
    _voxmmsd(folder, "finetune", "old", "--run", start, *tiny, "--steps", steps, "--name", name, "--precision", first)
    for cases, part in (("new", "training"), ("hold-out", "hold-out")):
        _voxmmsd(folder, "library", "add", library, cases, "--part", part)
    for second in PRECISIONS:
        run = folder / f"{name}-{second}"
        call = ["--steps", more_steps, "--validate-every", more_steps, "--precision", second]
        _voxmmsd(folder, "finetune", library, "--from", start, "--run", run, *tiny, *call)
        regions = json.loads((run / "comparison.json").read_text(encoding="utf-8"))["regions"]
        before, after = (" ".join(f"{dice[number]:.2f}" for dice in regions.values()) for number in range(2))
        print(f"{seed} {first:>7} {second:>7}: {before}, {after}", flush=True)


def _voxmmsd(folder: Path, *words: object) -> None:
    command = [sys.executable, "-m", "voxmmsd", *map(str, words)]
    paths = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "VOXMMSD_HOME": str(folder / "home"), "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
