"""Spoil every kind of file that is read, thousands of times: only our own errors may come out, and soon.

    python benchmarks/fuzz.py [--rounds 2000] [--seed 0] [--only NIfTI] [--keep FOLDER]

Bytes are flipped, cut, doubled and overwritten; in JSON whole values are replaced by such as no program expects. The
files are read in a child whose memory is bounded: one that takes longer than 10 s at a file is killed, one that dies is
noticed, and another child goes on with the next file. Prints how many files were read in spite of all, how many were
refused, and what else came out; ``--keep`` keeps the files that did it. The exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import resource
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.finding.listing import listed_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import VoxMMSDError
from voxmmsd.models import decisions
from voxmmsd.models.archive import export_model, opened
from voxmmsd.models.package import read_package
from voxmmsd.runs import view_run
from voxmmsd.runs.events import read_events
from voxmmsd.training_config import FinetuneConfig

SLOWEST_SECONDS = 10.0
GOOD = ("read", "refused")
_LONGEST = 400  # bytes of an answer, less than a pipe takes at once
MAX_BYTES = 4 << 30  # of addresses beyond what the program itself takes
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\x80\x7f",
    b"\0\0\xc0\x7f",
    b"1e999",
    b"[" * 50,
    b"\n",
)
ODD_VALUES = (
    None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x", "\0", "../..", "\ud800", [], {},
    [[]], {"a": 1}, [None], [1e400],
)  # fmt: skip

Reads = Callable[[Path], Any]


def spoiled(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of bytes."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = min(chance.randrange(len(data) + 1), chance.randrange(len(data) + 1))  # headers more often than bodies
        kind = chance.randrange(5)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            odd = chance.choice(ODD_BYTES)
            data[at : at + len(odd)] = odd
        elif kind == 3:
            data[at:at] = data[at : at + chance.randrange(64)]
        else:
            del data[at : at + chance.randrange(16)]
    return bytes(data)


def spoiled_json(content: bytes, chance: random.Random) -> bytes:
    """Half the time a value somewhere inside is another one, or missing; else bytes are changed."""
    if chance.random() < 0.5:
        return spoiled(content, chance)
    record = json.loads(content)
    node = record
    while True:
        key = chance.choice(list(node) if isinstance(node, dict) else list(range(len(node))))
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.7:
            node = node[key]
            continue
        if chance.random() < 0.2:
            del node[key]
        else:
            node[key] = chance.choice(ODD_VALUES)
        return json.dumps(record).encode()


def targets(folder: Path) -> dict[str, tuple[Path, Callable[[bytes, random.Random], bytes], Reads]]:
    """Kind of file -> a whole one, how it is spoiled, and what reads it."""
    from hard_places import CASE, Place, pristine

    place = Place.copied(pristine(folder / "pristine"), folder)
    plain = place.write("image.nii", gzip.decompress(place.file().read_bytes()))
    packed = place.write("image.nii.gz", place.file().read_bytes())
    model = place.model_copy()
    library = _library(folder / "library")
    (case_json,) = (library / "cases").glob("*/case.json")
    splits = place.write("splits.json", json.dumps({"train": [CASE], "validation": ["a", "b"], "test": []}))
    listed = place.write("cases.json", json.dumps({"cases": [{"id": CASE, "t1c": {"path": "a.nii", "channel": 0}}]}))
    csv = place.write("cases.csv", f"id,t1c,label\n{CASE},a.nii,b.nii\n")
    config = place.write("options.json", json.dumps({"folders": ["a"], "channels": [8, 16], "steps": 5, "seed": 1}))
    toml = place.write("options.toml", 'folders = ["a"]\nsteps = 5\nlearning_rate = 0.1\n')
    events = place.write("events.jsonl", '{"time": 1.5, "kind": "metric", "step": 1, "name": "x", "value": 0.5}\n' * 3)
    chosen = place.write("decisions.jsonl", '{"model": "a", "decision": "accepted", "time": "2026"}\n' * 3)
    status = place.write(
        "run/status.json",
        json.dumps({"state": "running", "verb": "finetune", "step": 1, "total": 9, "seconds_left": 3.0, "host": "h",
                    "pid": 1, "heartbeat": 1.0, "starts": [{"time": "2026"}], "stage": "", "error": ""}),
    )  # fmt: skip
    nrrd, meta, slices = _by_itk(plain, folder / "by itk")
    return {
        "NIfTI": (plain, spoiled, lambda file: read_volume(Source(file))),
        "NIfTI, packed": (packed, spoiled, lambda file: read_volume(Source(file))),
        "model.json": (model / "model.json", spoiled_json, lambda file: read_package(file.parent)),
        "safetensors": (model / "weights.safetensors", spoiled, _read_weights),
        "case.json": (case_json, spoiled_json, lambda file: _open_library(library)),
        "status.json": (status, spoiled_json, lambda file: view_run(file.parent).line()),
        "events.jsonl": (events, spoiled, lambda file: list(read_events(file))),
        "decisions.jsonl": (chosen, spoiled, decisions.read),
        "splits": (splits, spoiled_json, lambda file: read_splits(file, [])),
        "list of cases": (listed, spoiled_json, listed_cases),
        "CSV of cases": (csv, spoiled, listed_cases),
        "options, JSON": (config, spoiled_json, lambda file: make_config(FinetuneConfig, {}, file)),
        "options, TOML": (toml, spoiled, lambda file: make_config(FinetuneConfig, {}, file)),
        "NRRD": (nrrd, spoiled, lambda file: read_volume(Source(file))),
        "MetaImage": (meta, spoiled, lambda file: read_volume(Source(file))),
        "DICOM": (slices, spoiled, lambda file: [read_volume(s) for s in _dicom_sources(file.parent)]),
        "zip of a model": (export_model(read_package(model), folder / "toy.zip"), spoiled, _look_into_zip),
        "checkpoint": (_checkpoint(folder / "step-00000001.pt"), spoiled, _load_checkpoint),
        "prepared case": (_prepared_case(place), spoiled_json, _open_prepared),
    }


def _by_itk(image: Path, folder: Path) -> tuple[Path, Path, Path]:
    """The image as NRRD, as MetaImage, and one slice of a DICOM series of it."""
    import SimpleITK as itk
    from dicom_files import write_series

    folder.mkdir()
    volume = itk.ReadImage(str(image))
    itk.WriteImage(volume, str(folder / "t1c.nrrd"))
    itk.WriteImage(volume, str(folder / "t1c.mha"))
    write_series(folder / "T1C", itk.GetArrayFromImage(volume)[:6], "1.2.3.1", "T1 post")
    return folder / "t1c.nrrd", folder / "t1c.mha", sorted((folder / "T1C").iterdir())[2]


def _dicom_sources(folder: Path) -> list[Source]:
    return [source for case in find_cases(folder).cases for source in case.modalities.values()]


def _look_into_zip(file: Path) -> None:
    with opened(file):
        pass


def _prepared_case(place: Any) -> Path:
    prepare_cases(find_cases(place.cases).cases, place.root / "store", workers=1)
    return next((place.root / "store").glob("*.json"))


def _open_prepared(file: Path) -> list[Any]:
    return [(entry.image(), entry.label_schema()) for entry in open_store(file.parent)]


def _checkpoint(file: Path) -> Path:
    import torch

    from voxmmsd.training.checkpoint import save_state

    save_state(file, {"step": 1, "network": {"w": torch.ones(64)}})
    return file


def _load_checkpoint(file: Path) -> Any:
    """As one whose checksum fits."""
    from voxmmsd.training.checkpoint import _MARK, load_state

    content = file.read_bytes().rpartition(_MARK)[0]
    file.write_bytes(content + _MARK + hashlib.sha256(content).hexdigest().encode())
    return load_state(file)


def _library(folder: Path) -> Path:
    from corrected_cases import library_of

    library_of(folder, count=1)
    return folder


def _open_library(folder: Path) -> Any:
    from voxmmsd.library import open_library

    return open_library(folder).cases()


def _read_weights(file: Path) -> Any:
    """As a package whose checksum fits would be read."""
    from toy_models import toy_info

    from voxmmsd.models.package import ModelPackage
    from voxmmsd.models.weights import load_network

    return load_network(ModelPackage(file.parent, toy_info()))


def attempt(file: Path, content: bytes, read: Reads) -> str:
    """``read``, ``refused``, or what else came out; the file is as it was afterwards."""
    whole = file.read_bytes()
    try:
        file.write_bytes(content)
        read(file)
        return "read"
    except VoxMMSDError as error:
        return "refused" if str(error) else "refused without a word"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:80]} ({Path(place.filename).name}, line {place.lineno})"
    finally:
        file.write_bytes(whole)


@dataclass
class Reader:
    """A child that reads spoiled files, one by one, and says what came of each."""

    process: int
    answers: int

    @classmethod
    def started(cls, file: Path, contents: Sequence[bytes], read: Reads) -> Reader:
        hears, says = os.pipe()
        process = os.fork()
        if process == 0:
            try:
                os.close(hears)
                _bound_memory()
                for content in contents:
                    os.write(says, attempt(file, content, read).replace("\n", " ").encode()[:_LONGEST] + b"\n")
            finally:
                os._exit(0)
        os.close(says)
        return cls(process, hears)

    def answer(self, seconds: float) -> str:
        """Of the next file; a child that computes for longer, or is silent for six times as long, is killed."""
        found, computed, asleep = b"", self._computed(), time.monotonic() + 6 * seconds
        while self._computed() - computed < seconds and time.monotonic() < asleep:
            if not select.select([self.answers], [], [], 0.2)[0]:
                continue
            byte = os.read(self.answers, 1)
            if byte == b"\n":
                return found.decode("utf-8", "replace")
            if not byte:
                return f"the process died ({signal.strsignal(abs(self.end())) or 'by itself'})"
            found += byte
        os.kill(self.process, signal.SIGKILL)
        self.end()
        return f"took {seconds:g} s and more"

    def _computed(self) -> float:
        """Seconds of CPU: the clock on the wall would blame a file for a crowded machine."""
        times = psutil.Process(self.process).cpu_times()
        return times.user + times.system

    def end(self) -> int:
        """Its exit code, once it is at its end."""
        os.close(self.answers)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def outcomes(
    file: Path, contents: Sequence[bytes], read: Reads, seconds: float = SLOWEST_SECONDS
) -> Iterator[tuple[bytes, str]]:
    """Each content of ``file`` with what came of reading it: as ``attempt`` says, or how its reader hung or died."""
    whole, reader = file.read_bytes(), None
    for number, content in enumerate(contents):
        reader = reader or Reader.started(file, contents[number:], read)
        said = reader.answer(seconds)
        yield content, said
        if said.startswith(("took", "the process died")):
            reader = None
            file.write_bytes(whole)
    if reader:
        reader.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path, help="folder for the files that something else came out of")
    given = parser.parse_args()
    totals = Counter[str]()
    with TemporaryDirectory() as folder:
        for name, (file, spoil, read) in targets(Path(folder)).items():
            if given.only not in name:
                continue
            chance, whole = random.Random(f"{given.seed} {name}"), file.read_bytes()
            found = Counter[str]()
            for content, said in outcomes(file, [spoil(whole, chance) for _ in range(given.rounds)], read):
                found[said] += 1
                if given.keep and said not in GOOD:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    (given.keep / f"{found.total()}-{file.name}").write_bytes(content)
            others = {what: count for what, count in found.items() if what not in GOOD}
            totals.update(found)
            print(f"{name:<16} {found['read']:>6} read {found['refused']:>6} refused", others or "", flush=True)
    others = totals.total() - totals["read"] - totals["refused"]
    print(f"{totals.total()} files: {totals['refused']} refused, {totals['read']} read, {others} else")
    return 1 if others else 0


def _bound_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MAX_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main())
