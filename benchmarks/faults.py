"""Let every verb that writes meet a fault at a random file operation; call it again, and see whether anything was lost.

    python benchmarks/faults.py [--kills 200] [--denials 100] [--seed 0] [--only prepare segment]

The faults come at a random one of the verb's opens, renames, removals and new folders: SIGKILL and SIGTERM
(``--kills``), a disk that is full from there on (a small tmpfs: ``mount`` wants root), and permissions that are lost
there (``--denials``). Between the fault and the second call every JSON file, image and array under a final name must be
whole and ``voxmmsd verify`` must find nothing wrong; a denial must have been told in a sentence, by exit code 2; the
second call must succeed, and leave the same files as a call that met no fault. Prints what was found; the exit code is
1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.writing_verbs import WritingVerb, prepared, writing_verbs
from voxmmsd.cli import main as voxmmsd
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.files import read_json
from voxmmsd.verify import verify

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
KILLS, DENIALS = ("SIGKILL", "SIGTERM"), ("full disk", "lost permission")
CANCELED = 130
LONGEST = 300  # seconds that a call may take before SIGALRM ends it
DISK = "64m"
_PAGE = 4096
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


@dataclass(frozen=True)
class Answer:
    """How a call ended (negative: by a signal), what it printed, and how many file operations it made."""

    code: int
    said: str
    operations: int

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("voxmmsd: error:")]


@dataclass
class Found:
    """How often each fault met the verb at work, what was wrong after it, and temporary files that stayed."""

    met: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    litter: int = 0


def strike(fault: str, place: Path, chance: random.Random) -> None:
    """Bring a fault about, from within the verb's process."""
    if fault == "full disk":
        _fill(place, chance.randrange(8) * _PAGE)
    elif fault == "lost permission":
        _permit(place, 0o555, 0o444)
    else:
        os.kill(os.getpid(), signal.Signals[fault])


def heal(place: Path) -> None:
    """Permissions and room are there again."""
    _permit(place, 0o755, 0o644)
    _ballast(place).unlink(missing_ok=True)


def _ballast(place: Path) -> Path:
    return place.with_name("ballast")


def _fill(place: Path, room: int) -> None:
    disk = os.statvfs(place)
    with _ballast(place).open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))


def _permit(place: Path, folders: int, files: int) -> None:
    for path in [place, *place.rglob("*")]:
        with suppress(FileNotFoundError):  # removed by another thread
            path.chmod(folders if path.is_dir() else files)


def run(call: Sequence[str], place: Path, fault: str = "", at: int = 0, seed: int = 0) -> Answer:
    """Run a verb in a child, which meets ``fault`` at its ``at``-th file operation in ``place``."""
    counted, pipe_in = os.pipe()
    with TemporaryFile() as said:  # elsewhere: what is said on a full disk must be heard
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(BaseException):
                code = _in_child(call, place, said.fileno(), pipe_in, (fault, at, seed))
            os._exit(code)
        os.close(pipe_in)
        with os.fdopen(counted) as stream:
            count = int(stream.read() or 0)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return Answer(os.waitstatus_to_exitcode(status), said.read().decode("utf-8", "replace"), count)


def _in_child(call: Sequence[str], place: Path, said: int, pipe_in: int, blow: tuple[str, int, int]) -> int:
    fault, at, seed = blow
    operations, here = 0, os.fspath(place)

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal operations
        if event in OPERATIONS and str(arguments[0]).startswith(here):
            operations += 1
            if operations == at:
                strike(fault, place, random.Random(seed))

    os.environ.update(VOXMMSD_HOME=str(place / "home"), TQDM_DISABLE="1", PIP_NO_INDEX="1")
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)  # pytest has its own ones
    _mind_permissions()
    sys.addaudithook(count)
    torch.set_num_threads(1)  # a second one is waited for forever where this process's parent had started it
    signal.alarm(LONGEST)
    code = voxmmsd(list(call))
    os.write(pipe_in, str(operations).encode())
    return code


def _mind_permissions() -> None:
    """From here on a file's permissions bind this process even where root started it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for which in range(3):  # effective, permitted, inheritable
        sets[which] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def files(place: Path) -> set[str]:
    """Names of what lies there, without what only says how it went."""
    found = (file.relative_to(place) for file in place.rglob("*") if file.is_file())
    return {str(file) for file in found if ".lock" not in file.name and "__pycache__" not in file.parts}


def unnumbered(found: set[str]) -> set[str]:
    """A label of the library whose record was not reached leaves its number unused: the next one is as good."""
    return {re.sub(r"/labels/\d{4}-", "/labels/", name) for name in found}


def broken(place: Path) -> list[str]:
    """Files under final names that are not whole, and what ``voxmmsd verify`` finds."""
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
            if file.name in ("status.json", "model.json", "library.json"):
                text, whole = verify(str(file.parent))
                found += [] if whole else [f"verify: {text}"]
        except Exception as error:
            found.append(f"{name}: {error}")
    return found


def left_over(found: set[str], whole: set[str]) -> set[str]:
    """Files that a call without a fault does not leave, but for numbered and set-aside ones, which lose nothing."""
    return {name for name in found - whole if not name.endswith(".broken-off")}


def misbehaved(fault: str, answer: Answer, everything_is_there: bool) -> list[str]:
    """What the call did that it must not do when it meets this fault."""
    if fault in KILLS:
        ways = (-signal.SIGKILL,) if fault == "SIGKILL" else (-signal.SIGTERM, CANCELED, 0)
        return [] if answer.code in ways else [f"ended by {answer.code}: {answer.said[-300:]}"]
    if answer.code == 0:
        return [] if everything_is_there else ["said that all was well"]
    of_one_case = all(line.startswith("voxmmsd: error: case ") for line in answer.errors)
    clear = answer.code == 2 and (len(answer.errors) == 1 or (answer.errors and of_one_case))
    return [] if clear and "Traceback" not in answer.said else [f"ended by {answer.code}: {answer.said[-500:]}"]


@dataclass(frozen=True)
class Attack:
    """A verb under attack in ``folder``."""

    name: str
    verb: WritingVerb
    folder: Path

    def untouched(self) -> tuple[set[str], int]:
        """The files that a call without a fault leaves, and how many operations it takes."""
        place = self._place("whole")
        answer = run(self.verb.arguments(place), place)
        assert answer.code == 0, answer.said
        assert not (wrong := broken(place)), wrong
        return files(place), answer.operations

    def hit(self, faults: Sequence[str], seed: str) -> Found:
        """Meet one fault after the other, each in a new place at a random operation."""
        whole, operations = self.untouched()
        found, chance = Found(), random.Random(seed)
        for number, fault in enumerate(faults):
            at, draw = chance.randint(1, operations), chance.randrange(2**32)
            place = self._place(f"hit-{number}")
            answer = run(self.verb.arguments(place), place, fault, at, draw)
            problems = self._after(fault, place, whole, answer)
            found.met[fault] += 1
            found.litter += len(left_over(files(place), whole))
            found.wrong += [f"{self.name}, {fault} at operation {at} of {operations}: {one}" for one in problems]
            shutil.rmtree(place)
        return found

    def _after(self, fault: str, place: Path, whole: set[str], answer: Answer) -> list[str]:
        heal(place)
        done = whole <= files(place)
        problems = misbehaved(fault, answer, done) + broken(place)
        again = run(self.verb.arguments(place), place)
        if again.code != 0 and not (done and again.code == 2):  # what is there whole is not overwritten
            problems.append(f"the second call failed: {again.said.strip()[-300:]}")
        problems += [f"missing: {name}" for name in sorted(unnumbered(whole) - unnumbered(files(place)))]
        return problems + broken(place)

    def _place(self, name: str) -> Path:
        place = self.folder / name
        (place / "home").mkdir(parents=True)
        self.verb.arrange(place)
        return place


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 64 MiB mounted at ``folder``.

    Raises:
        OSError: this user may not mount one, or the system has none.
    """
    folder.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise OSError(f"no small disk: {error}") from error
    if done.returncode:
        raise OSError(f"no small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="SIGKILL and SIGTERM in turn, over all verbs")
    parser.add_argument(
        "--denials", type=int, default=100, help="full disk and lost permission in turn, over all verbs"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[""], help="verbs whose name has one of these words in it")
    given = parser.parse_args()
    wrong, total = [], Counter[str]()
    with TemporaryDirectory() as folder, small_disk(Path(folder) / "disk") as disk:
        verbs = writing_verbs(prepared(Path(folder) / "source"))
        chosen = {name: verb for name, verb in verbs.items() if any(word in name for word in given.only)}
        for name, verb in chosen.items():
            faults = _in_turn(KILLS, given.kills, len(chosen)) + _in_turn(DENIALS, given.denials, len(chosen))
            found = Attack(name, verb, disk / name.replace(" ", "-")).hit(faults, f"{given.seed} {name}")
            shutil.rmtree(disk / name.replace(" ", "-"))
            met = ", ".join(f"{count} x {fault}" for fault, count in found.met.items())
            line = f"{name:<20} {met}: {len(found.wrong)} wrong, {found.litter} temporary files left"
            print(line, *found.wrong, sep="\n", flush=True)
            wrong += found.wrong
            total += found.met
    print(f"in all: {dict(total)}, {len(wrong)} wrong")
    return 1 if wrong else 0


def _in_turn(faults: Sequence[str], count: int, verbs: int) -> list[str]:
    """A verb's share of ``count`` faults."""
    return [faults[number % len(faults)] for number in range(-(-count // verbs))]


if __name__ == "__main__":
    sys.exit(main())
