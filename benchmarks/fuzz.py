"""Spoil every kind of file that is read, thousands of times: only our own errors may come out, and soon.

    python benchmarks/fuzz.py [--rounds 2000] [--seed 0] [--only NIfTI]

Bytes are flipped, cut, doubled and overwritten; in JSON whole values are replaced by such as no program expects. Prints
how many were read in spite of it, how many were refused, and what else came out; the exit code is 1 if anything did.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

from voxmmsd.config import FinetuneConfig, make_config
from voxmmsd.data.listing import listed_cases
from voxmmsd.data.sources import Source, read_volume
from voxmmsd.data.splits import read_splits
from voxmmsd.errors import VoxMMSDError
from voxmmsd.events import read_events
from voxmmsd.models import decisions
from voxmmsd.models.package import read_package
from voxmmsd.runs import view_run

SLOWEST_SECONDS = 10.0
MOST_BYTES = 4 << 30  # of addresses beyond what the program itself takes
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
    }


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
    started = time.monotonic()
    try:
        file.write_bytes(content)
        read(file)
        found = "read"
    except VoxMMSDError as error:
        found = "refused" if str(error) else "refused without a word"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {str(error)[:80]} ({Path(place.filename).name}, line {place.lineno})"
    finally:
        file.write_bytes(whole)
    return f"took {SLOWEST_SECONDS:g} s and more" if time.monotonic() - started > SLOWEST_SECONDS else found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    bad = 0
    with TemporaryDirectory() as folder:
        for name, (file, spoil, read) in targets(Path(folder)).items():
            if given.only not in name:
                continue
            _bound_memory()
            chance, whole = random.Random(f"{given.seed} {name}"), file.read_bytes()
            found = Counter(attempt(file, spoil(whole, chance), read) for _ in range(given.rounds))
            others = {what: count for what, count in found.items() if what not in ("read", "refused")}
            bad += sum(others.values())
            print(f"{name:<16} {found['read']:>6} read {found['refused']:>6} refused", others or "", flush=True)
    return 1 if bad else 0


def _bound_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main())
