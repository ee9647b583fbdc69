"""Kill every verb that writes at a random file operation, call it again, and look whether anything was lost.

    python benchmarks/faults.py [--kills 200] [--seed 0] [--only segment]

A child kills itself (SIGKILL) at a random one of its opens, renames, removals and new folders. Between the kill
and the second call every JSON file, image and array under a final name must be whole; the second call must succeed, and
leave the same files as a call that was never killed. Prints what was found; the exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

import numpy as np

from voxmmsd.cli import main as voxmmsd
from voxmmsd.data.sources import Source, read_volume
from voxmmsd.files import read_json

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")

Call = Callable[[Path], Sequence[str]]


def calls(source: Path) -> dict[str, Call]:
    """Verb -> its arguments in a place; ``source`` holds cases and a model."""
    cases, model = str(source / "cases"), str(source / "toy")

    def segment(place: Path) -> list[str]:
        return ["segment", cases, "--out", str(place / "out"), "--model", model, "--engine", "onnx", "--threads", "1"]

    return {
        "phantom": lambda place: ["phantom", str(place / "phantoms"), "--count", "1", "--shape", "16"],
        "prepare": lambda place: ["prepare", cases, "--store", str(place / "store"), "--workers", "1"],
        "segment": segment,
        "evaluate": lambda place: ["evaluate", str(source / "results"), cases, "--out", str(place / "scores"),
                                   "--workers", "1"],
        "library add": lambda place: ["library", "add", str(place / "library"), cases],
        "models accept": lambda place: ["models", "accept", model],
        "models export": lambda place: ["models", "export", model, "--out", str(place / "model.zip")],
        "finetune": lambda place: [
            "finetune", cases, "--run", str(place / "run"), "--preset", "tiny", "--channels", "4", "8", "--patch", "16",
            "--steps", "2", "--checkpoint-every", "1", "--workers", "1", "--threads", "1", "--device", "cpu"],
    }  # fmt: skip


def run(call: Sequence[str], place: Path, die_at: int = 0) -> tuple[int, int]:
    """Run a verb in a child; its exit code (-9: killed), and how many file operations it made."""
    counted, told = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            code = _in_child(call, place, die_at, told)
        os._exit(code)
    os.close(told)
    with os.fdopen(counted) as stream:
        count = int(stream.read() or 0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), count


def _in_child(call: Sequence[str], place: Path, die_at: int, told: int) -> int:
    operations = 0

    def count(event: str, arguments: object) -> None:
        nonlocal operations
        if event in OPERATIONS:
            operations += 1
            if operations == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    os.environ.update(VOXMMSD_HOME=str(place / "home"), TQDM_DISABLE="1")
    with (place / "said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.addaudithook(count)
    code = voxmmsd(list(call))
    os.write(told, str(operations).encode())
    return code


def files(place: Path) -> set[str]:
    """Names of what lies there, without what only says how it went."""
    found = (file.relative_to(place) for file in place.rglob("*") if file.is_file() and file.name != "said.txt")
    return {str(file) for file in found if ".lock" not in file.name and "__pycache__" not in file.parts}


def unnumbered(found: set[str]) -> set[str]:
    """A label of the library whose record was not reached leaves its number unused: the next one is as good."""
    return {re.sub(r"/labels/\d{4}-", "/labels/", name) for name in found}


def broken(place: Path) -> list[str]:
    """Files under final names that are not whole."""
    found = []
    for name in sorted(files(place)):
        file = place / name
        if any(part.endswith(".tmp") or ".tmp." in part for part in file.parts) or file.stat().st_size == 0:
            continue
        try:
            if file.suffix == ".json":
                read_json(file)
            elif file.name.endswith(".nii.gz"):
                read_volume(Source(file))
            elif file.suffix == ".npy":
                np.load(file, mmap_mode="r")
        except Exception as error:
            found.append(f"{name}: {error}")
    return found


def left_over(found: set[str], whole: set[str]) -> set[str]:
    """Files that a call without a kill does not leave, but for numbered and set-aside ones, which lose nothing."""
    return {name for name in found - whole if not name.endswith(".broken-off")}


def attack(verb: str, call: Call, folder: Path, kills: int, chance: random.Random) -> tuple[int, list[str], int]:
    """Kills that met the verb at work, what was wrong after them, and temporary files that stayed."""
    (folder / "whole").mkdir(parents=True)
    code, operations = run(call(folder / "whole"), folder / "whole")
    assert code == 0, (folder / "whole" / "said.txt").read_text()
    whole, wrong, met, litter = files(folder / "whole"), [], 0, 0
    for number in range(kills):
        place, at = folder / f"killed-{number}", chance.randint(1, operations)
        place.mkdir()
        code, _ = run(call(place), place, at)
        met += code == -signal.SIGKILL
        problems = broken(place)
        code, _ = run(call(place), place)
        if code != 0:
            problems.append("the second call failed: " + (place / "said.txt").read_text().strip()[-300:])
        problems += [f"missing: {name}" for name in sorted(unnumbered(whole) - unnumbered(files(place)))]
        problems += broken(place)
        litter += len(left_over(files(place), whole))
        wrong += [f"{verb}, killed at operation {at} of {operations}: {problem}" for problem in problems]
        shutil.rmtree(place)
    return met, wrong, litter


def prepared(folder: Path) -> Path:
    """Cases, a model, and results to score."""
    from hard_places import CASE, OTHER, Place, pristine

    place = Place.copied(pristine(folder / "pristine"), folder)
    place.other()
    place.model_copy()
    (folder / "results").mkdir()
    for case_id in (CASE, OTHER):
        label = folder / "cases" / case_id / f"{case_id}-seg.nii.gz"
        shutil.copy(label, folder / "results" / f"{case_id}-voxmmsd.nii.gz")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="over all verbs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    everything: list[str] = []
    with TemporaryDirectory() as folder:
        verbs = {verb: call for verb, call in calls(prepared(Path(folder) / "source")).items() if given.only in verb}
        for verb, call in verbs.items():
            chance = random.Random(f"{given.seed} {verb}")
            share = -(-given.kills // len(verbs))
            met, wrong, litter = attack(verb, call, Path(folder) / verb.replace(" ", "-"), share, chance)
            print(f"{verb:<14} {met:>4} kills, {len(wrong)} wrong, {litter} temporary files left", flush=True)
            everything += wrong
    print("\n".join(everything))
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
