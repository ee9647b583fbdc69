"""Hundreds of cases, one in ten of them bad, through prepare and segment: is all good work done, and is memory flat?

    python benchmarks/load.py [--cases 200] [--shape 32]

Each verb is a process of its own. The memory of it and its children (resident, MiB) is looked at several times a second
and kept by how many cases were done; flat is within 10 % from case 20 on. Prints one line per verb; the exit code is 1
if a good case is missing, a bad one was not named, or memory was not flat.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

import nibabel as nib
import numpy as np
import psutil

from voxmmsd.phantom import write_phantoms

EVERY = 10  # which case is bad
SETTLED = 20  # cases after which memory must not grow
FLAT = 1.10


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def _without_numbers(file: Path) -> None:
    image = nib.load(file)
    voxels = np.full(image.shape, np.nan, np.float32)
    file.unlink()
    nib.save(nib.Nifti1Image(voxels, image.affine), file)


HARMS: tuple[Callable[[Path], None], ...] = (
    _cut,
    _without_numbers,
    lambda file: file.write_bytes(b"") and None,
    lambda file: file.write_bytes(b"no image " * 99) and None,
)


def cases_of(folder: Path, count: int, side: int) -> tuple[list[str], list[str]]:
    """Write ``count`` phantoms, every tenth with a harmed image; ids of the good and of the bad ones."""
    good, bad = [], []
    for number, place in enumerate(write_phantoms(folder, count, seed=1, side=side)):
        if number % EVERY == EVERY - 1:
            HARMS[len(bad) % len(HARMS)](place / f"{place.name}-t1c.nii.gz")
        (bad if number % EVERY == EVERY - 1 else good).append(place.name)
    return good, bad


@dataclass
class Watched:
    """How a verb went: exit code, what it said, MiB by the number of cases done when they were measured."""

    code: int
    said: str
    seconds: float
    memory: list[tuple[int, float]] = field(default_factory=list)

    @property
    def at_start(self) -> float:
        """MiB when ``SETTLED`` cases were done: the most until one more was."""
        first = min(done for done, _ in self.memory if done >= SETTLED)
        return max(mib for done, mib in self.memory if done == first)

    @property
    def most_after(self) -> float:
        return max(mib for done, mib in self.memory if done >= SETTLED)

    @property
    def is_flat(self) -> bool:
        return self.most_after <= FLAT * self.at_start


def watched(arguments: Sequence[str], done: Callable[[], int], place: Path) -> Watched:
    """Run a verb and look at its memory; ``done`` counts the finished cases."""
    environment = {**os.environ, "VOXMMSD_HOME": str(place / "home"), "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    started, memory = time.monotonic(), []
    with (place / "said.txt").open("w+") as said:
        process = psutil.Popen([sys.executable, "-m", "voxmmsd", *arguments], stdout=said, stderr=said, env=environment)
        while process.poll() is None:
            memory.append((done(), _resident_mib(process)))
            time.sleep(0.1)
        said.seek(0)
        return Watched(process.returncode, said.read(), time.monotonic() - started, memory)


def _resident_mib(process: psutil.Process) -> float:
    total = 0
    with suppress(psutil.NoSuchProcess):
        total = sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    return total / 2**20


def verdict(watched: Watched, good: Sequence[str], bad: Sequence[str], there: set[str]) -> list[str]:
    """What was wrong with a verb's work; empty: nothing."""
    wrong = [f"{case_id}: is missing" for case_id in good if case_id not in there]
    wrong += [f"{case_id}: is bad and was done" for case_id in bad if case_id in there]
    wrong += [f"{case_id}: was not named" for case_id in bad if f"error: case {case_id}: " not in watched.said]
    wrong += [f"exit code {watched.code}"] if watched.code != (2 if bad else 0) else []
    if not watched.is_flat:
        wrong.append(f"memory grew from {watched.at_start:.0f} to {watched.most_after:.0f} MiB")
    return wrong


def load(folder: Path, count: int, side: int) -> dict[str, tuple[Watched, list[str]]]:
    """Verb -> how it went, and what was wrong."""
    from toy_models import toy_package

    good, bad = cases_of(folder / "cases", count, side)
    model = toy_package(folder / "toy").folder
    store, out = folder / "store", folder / "out"
    calls: dict[str, tuple[list[str], Callable[[], set[str]]]] = {
        "prepare": (
            ["prepare", str(folder / "cases"), "--store", str(store), "--workers", "1"],
            lambda: {file.stem for file in store.glob("[!.]*.json")},
        ),
        "segment": (
            ["segment", str(folder / "cases"), "--out", str(out), "--model", str(model), "--engine", "onnx",
             "--threads", "1", "--force"],
            lambda: {file.name.removesuffix("-voxmmsd.json") for file in out.glob("[!.]*-voxmmsd.json")},
        ),
    }  # fmt: skip
    found = {}
    for verb, (arguments, there) in calls.items():
        went = watched(arguments, lambda there=there: len(there()), folder)
        found[verb] = (went, verdict(went, good, bad, there()))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--shape", type=int, default=32)
    given = parser.parse_args()
    bad = False
    with TemporaryDirectory() as folder:
        for verb, (went, wrong) in load(Path(folder), given.cases, given.shape).items():
            memory = f"{went.at_start:.0f} MiB at case {SETTLED}, {went.most_after:.0f} at most after"
            print(f"{verb}: {given.cases} cases in {went.seconds:.0f} s, {memory}", *wrong, sep="\n  ", flush=True)
            bad = bad or bool(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
