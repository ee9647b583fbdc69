"""Provoke the command line, by the thousand: strange images, names, options, surroundings and packages.

    python benchmarks/provoke.py [--count 1000] [--seed 0] [--first 0] [--only KIND] [--keep FILE.jsonl]

Each provocation is one call of a verb over two tiny patients, of whom one may be spoiled. What must hold: a documented
exit code, no fault of ours and no traceback, an error in one line with a remedy, an end within 20 s, the other patient
done, and nothing of the user's changed. Each call runs in a child that is forked from a warm parent (Linux). Prints a
table by kind; the exit code is 1 if anything else came out. ``--keep`` writes one line per provocation.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

from hard_places import CASE, OTHER, Place, pristine, snapshot

from voxmmsd.cli import main

SECONDS = 20
CODES = (0, 2, 3)
MET, FAULT, HANG, SILENT, SPOILED, OTHERS = "met", "fault", "hang", "silent", "input changed", "other case not done"

Spoil = Callable[[Place], object]


def _with(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def spoiled(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[12, 12, 12] = value
        return voxels

    return spoiled


_SINGULAR = np.diag([-1.0, -1.0, 1.0, 1.0])
_SINGULAR[:3, 1] = _SINGULAR[:3, 0]

IMAGES: dict[str, Spoil] = {
    "empty": lambda p: p.raw(b""),
    "cut": lambda p: p.raw(lambda old: old[: len(old) // 2]),
    "text": lambda p: p.raw(b"no image " * 99),
    "NaN": lambda p: p.save(_with(np.nan)),
    "infinite": lambda p: p.save(_with(np.inf)),
    "zero": lambda p: p.save(np.zeros_like),
    "constant": lambda p: p.save(lambda v: np.full_like(v, 7)),
    "negative": lambda p: p.save(lambda v: -v.astype(np.float32) - np.arange(24, dtype=np.float32)),
    "noise": lambda p: p.save(lambda v: np.random.default_rng(0).normal(0, 1, v.shape).astype(np.float32)),
    "inverted": lambda p: p.save(lambda v: (v.max() - v).astype(np.float32)),
    "one bright voxel": lambda p: p.save(_with(1e9)),
    "tiny values": lambda p: p.save(lambda v: v * np.float32(1e-30)),
    "label map": lambda p: p.raw(p.file("seg").read_bytes()),
    "another modality": lambda p: p.raw(p.file("t2w").read_bytes()),
    "color": lambda p: p.save(lambda v: np.zeros(v.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))),
    "complex": lambda p: p.save(lambda v: v.astype(np.complex64)),
    "2-D": lambda p: p.save(lambda v: v[..., 12]),
    "one slice": lambda p: p.save(lambda v: v[..., 12:13]),
    "4-D": lambda p: p.save(lambda v: np.stack([v] * 4, -1)),
    "5-D": lambda p: p.save(lambda v: v[..., None, None].repeat(2, -1)),
    "flat": lambda p: p.save(lambda v: v[:, :2]),
    "singular": lambda p: p.save(affine=_SINGULAR),
    "far": lambda p: p.save(affine=np.diag([-1.0, -1, 1, 1]) + np.pad(np.full((3, 1), 5000.0), ((0, 1), (3, 0)))),
    "spacing 0": lambda p: p.header_bytes(296, bytes(16)),
    "micrometers": lambda p: p.save(affine=np.diag([-1000.0, -1000, 1000, 1]), xyzt_units=3),
    "sform of NaN": lambda p: p.header_bytes(280, struct.pack("<f", np.nan)),
    "huge claim": lambda p: p.header_bytes(40, struct.pack("<4h", 3, 32767, 32767, 32767)),
    "no orientation": lambda p: p.header_bytes(252, struct.pack("<hh", 0, 0)),
    "plain bytes in a gzip's name": lambda p: p.raw(gzip.decompress),
    "gzip in a gzip": lambda p: p.raw(gzip.compress),
    "a folder": lambda p: (p.file().unlink(), p.file().mkdir()),
    "a pipe": lambda p: (p.file().unlink(), os.mkfifo(p.file())),
    "a socket's link": lambda p: (p.file().unlink(), p.file().symlink_to("/dev/null")),
    "an endless device": lambda p: (p.file().unlink(), p.file().symlink_to("/dev/zero")),
    "a link to itself": lambda p: (p.file().unlink(), p.file().symlink_to(p.file())),
    "not there": lambda p: p.file().unlink(),
    "unreadable": lambda p: p.file().chmod(0),
}


def _named(new: str) -> Spoil:
    return lambda p: p.file().rename(p.file().with_name(new))


def _added(name: str, of: str = "t1c") -> Spoil:
    return lambda p: shutil.copy(p.file(of), p.file().with_name(name))


NAMES: dict[str, Spoil] = {
    "as it is": lambda p: None,
    "registered to FLAIR": _named(f"{CASE}-t1c_regtoFLAIR.nii.gz"),
    "two that fit": _added(f"{CASE}-t1c_brain.nii.gz"),
    "a registered copy": _added(f"{CASE}-t2w_regtoFLAIR.nii.gz", "t2w"),
    "German": _named(f"{CASE}_T1 tra nach KM.nii.gz"),
    "French": _named(f"{CASE}_T1 après injection.nii.gz"),
    "control characters": _named(f"{CASE}-t1c\x1b[2J\x07.nii.gz"),
    "right to left": _named(f"{CASE}-t1c\u202egz.nii.gz"),
    "a line break": _named(f"{CASE}\n-t1c.nii.gz"),
    "leading dash": _named("-t1c.nii.gz"),
    "250 letters": _named("t1c_" + "x" * 240 + ".nii.gz"),
    "bytes that are no text": _named("t1c\udcff\udcfe.nii.gz"),
    "nothing told": _named("scan.nii.gz"),
    "unread format": _named(f"{CASE}-t1c.nii.bz2"),
    "Analyze": _named(f"{CASE}-t1c.hdr"),
    "upper case": _named(f"{CASE}-T1C.NII.GZ"),
    "a link to the folder above": lambda p: (p.cases / CASE / "up").symlink_to(p.cases, target_is_directory=True),
    "a link to the whole disk": lambda p: (p.cases / CASE / "disk").symlink_to("/", target_is_directory=True),
    "results within": lambda p: p.write("cases/out/.run/config.json", "{}"),
    "derivatives": lambda p: (
        (p.cases / "derivatives").mkdir() or shutil.copytree(p.cases / CASE, p.cases / "derivatives" / CASE)
    ),
}

OPTIONS: dict[str, list[str]] = {
    "none": [],
    "5000 threads": ["--threads", "5000"],
    "a small memory": ["--memory", "1M"],
    "no memory": ["--memory", "x"],
    "a window of 1": ["--window", "1"],
    "a huge window": ["--window", "100000"],
    "a reference that is missing": ["--reference", "pet"],
    "another engine": ["--engine", "openvino"],
    "a device that is not there": ["--device", "mps"],
    "a mask that is not there": ["--brain-mask", "gone.nii.gz"],
    "a stripper that is not there": ["--brain-mask", "hd-bet"],
    "smallest of nothing": ["--min-component", "XX=1"],
    "smallest that is no number": ["--min-component", "ET=lots"],
    "forced": ["--force"],
    "pictures": ["--picture"],
    "all maps": ["--probabilities", "--uncertainty"],
    "options that are no JSON": ["--config", "broken.json"],
    "JSON": ["--json"],
    "an unknown option": ["--windwo", "3"],
    "operated": ["--postoperative"],
}


def _closed(number: int) -> Callable[[Path], None]:
    def apply(_: Path) -> None:
        stream = "stdout" if number == 1 else "stderr"
        os.close(number)
        setattr(sys, stream, None)

    return apply


def _variables(**values: str | None) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value.replace("ROOT", str(root))

    return apply


def _read_only(variable: str) -> Callable[[Path], None]:
    return _variables(**{variable: "/proc/x"})


def _limited(what: int, value: int) -> Callable[[Path], None]:
    return lambda _: resource.setrlimit(what, (value, value))


def _gone(root: Path) -> None:
    (root / "away").mkdir()
    os.chdir(root / "away")
    (root / "away").rmdir()


def _ascii(_: Path) -> None:
    for name in ("stdout", "stderr"):
        setattr(sys, name, io.TextIOWrapper(getattr(sys, name).buffer, "ascii", "strict", line_buffering=True))


SURROUNDINGS: dict[str, Callable[[Path], None]] = {
    "as they are": lambda _: None,
    "ASCII": _ascii,
    "stdout closed": _closed(1),
    "no HOME": _variables(HOME=None, VOXMMSD_HOME=None, XDG_DATA_HOME=None),
    "HOME in /proc": _variables(HOME="/proc/x", VOXMMSD_HOME=None, XDG_DATA_HOME=None),
    "a home of ours in /proc": _read_only("VOXMMSD_HOME"),
    "a home of ours that is a file": _variables(VOXMMSD_HOME="ROOT/file"),
    "TMPDIR in /proc": _read_only("TMPDIR"),
    "20 files": _limited(resource.RLIMIT_NOFILE, 20),
    "files of 1 MB": _limited(resource.RLIMIT_FSIZE, 2**20),
    "files of 0 bytes": _limited(resource.RLIMIT_FSIZE, 0),
    "a folder that went away": _gone,
    "an umask of all": lambda _: os.umask(0o777),
}


def _record(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / "model.json").read_text())
        change(record)
        (folder / "model.json").write_text(json.dumps(record))

    return apply


def _onnx(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Another network whose checksum fits."""

    def apply(folder: Path) -> None:
        file = folder / "model.onnx"
        file.write_bytes(content(file.read_bytes()))
        _record(lambda r: r["files"].update({"model.onnx": sha256(file.read_bytes()).hexdigest()}))(folder)

    return apply


def _graph(operator: str, domain: str = "") -> bytes:
    """The smallest ONNX model of one operator."""
    field = lambda number, content: bytes([number << 3 | 2, len(content)]) + content  # noqa: E731
    node = field(1, b"image") + field(2, b"logits") + field(4, operator.encode()) + field(7, domain.encode())
    return b"\x08\x08" + field(7, field(1, node) + field(2, b"g")) + field(8, field(1, b"") + b"\x10\x11")


PACKAGES: dict[str, Callable[[Path], object]] = {
    "as it is": lambda folder: None,
    "not there": shutil.rmtree,
    "no record": lambda folder: (folder / "model.json").unlink(),
    "an empty record": lambda folder: (folder / "model.json").write_text(""),
    "a record of another format": _record(lambda r: r.update(format=99)),
    "a record of no schema": _record(lambda r: r.update(schema="x")),
    "a record of no window": _record(lambda r: r.update(window=-5)),
    "weights that were changed": lambda folder: (folder / "weights.safetensors").write_bytes(b"x"),
    "a network of another's": _onnx(lambda _: b"x" * 99),
    "a network with a loop": _onnx(lambda _: _graph("Loop")),
    "a network with a branch": _onnx(lambda _: _graph("If")),
    "a network of another domain": _onnx(lambda _: _graph("Shell", "com.example")),
    "a network that does nothing": _onnx(lambda _: _graph("Identity")),
    "a network cut short": _onnx(lambda old: old[: len(old) // 2]),
}

WARM = tuple(f"voxmmsd.{room}" for room in ("inference.segment", "evaluation.evaluation_report", "data.store"))
VERBS = ("cases", "check", "segment", "evaluate", "prepare", "import")
_LINE = re.compile(r"^(voxmmsd: error: |\s*blocking: )(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Provocation:
    """One call: a verb, and what is strange about it."""

    number: int
    verb: str
    kind: str
    image: str = ""
    name: str = "as it is"
    option: str = "none"
    surroundings: str = "as they are"
    package: str = "as it is"


def provocations(count: int, seed: int) -> Iterator[Provocation]:
    """Seeded: mostly one strange thing at a time, a fifth of them two or three."""
    rng = random.Random(seed)
    of_kind = {"image": IMAGES, "name": NAMES, "option": OPTIONS, "surroundings": SURROUNDINGS, "package": PACKAGES}
    for number in range(count):
        kind = rng.choices(list(of_kind), [5, 3, 2, 2, 2])[0]
        verbs = {"option": ("segment",), "package": ("segment", "import")}.get(kind, VERBS[:5])
        chosen = {kind: rng.choice([name for name in of_kind[kind] if not name.startswith(("as ", "none"))])}
        if rng.random() < 0.2:
            for other in rng.sample(list(of_kind), rng.randint(1, 2)):
                chosen.setdefault(other, rng.choice(list(of_kind[other])))
        verb = "segment" if "option" in chosen else rng.choice(verbs)
        yield Provocation(number, verb, kind, **chosen)


def arguments_of(one: Provocation, place: Place) -> list[str]:
    """The call, and what it needs beside the two patients."""
    place.write("broken.json", "{")
    place.write("file", "x")
    model = place.root / "toy"
    calls = {
        "cases": ["cases", place.cases],
        "check": ["check", place.cases],
        "prepare": ["prepare", place.cases, "--store", place.root / "store", "--workers", "1"],
        "evaluate": ["evaluate", place.root / "predicted", place.cases, "--out", place.root / "out", "--workers", "1"],
        "segment": ["segment", place.cases, "--out", place.root / "out", "--model", model, "--engine", "onnx"],
        "import": ["models", "import", model],
    }
    return [str(a) for a in (*calls[one.verb], *OPTIONS[one.option])]


def made(one: Provocation, source: Path, root: Path) -> Place:
    """The two patients, one of them spoiled, and the package."""
    place = Place.copied(source, root)
    place.other()
    (root / "predicted").mkdir()
    for case in (CASE, OTHER):
        shutil.copy(place.cases / case / f"{case}-seg.nii.gz", root / "predicted" / f"{case}-voxmmsd.nii.gz")
    place.model_copy()
    NAMES[one.name](place) if not one.image else None
    if one.image:
        IMAGES[one.image](place)
    PACKAGES[one.package](root / "toy")
    return place


def judged(one: Provocation, place: Place, code: int | None, said: str, before: dict[str, str]) -> str:
    """What came out, in a word."""
    if code is None:
        return HANG
    if code not in CODES or "internal fault" in said or "Traceback" in said:
        return FAULT
    if {name: content for name, content in snapshot(place.root).items() if name in before} != before:
        return SPOILED
    lines = [match.group(2) for match in _LINE.finditer(said)]
    usage = "usage:" in said and "error:" in said
    unheard = one.surroundings in ("stdout closed", "files of 0 bytes", "a folder that went away")
    if code and not unheard and not usage and not any("; " in line for line in lines):
        return SILENT
    alone = (one.option, one.surroundings, one.package) == ("none", "as they are", "as it is")
    if one.verb == "segment" and alone and not (place.root / "out" / f"{OTHER}-voxmmsd.json").is_file():
        return OTHERS
    return MET


def provoke(one: Provocation, source: Path, root: Path) -> tuple[str, int | None, str]:
    """What came out, the exit code, and what was said."""
    place = made(one, source, root)
    arguments = arguments_of(one, place)
    before = snapshot(root)
    log = root.with_suffix(".said")
    child = os.fork()
    if child == 0:
        _in_the_child(one, root, arguments, log)
    code = _ended(child)
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return judged(one, place, code, said, before), code, said


def _ended(child: int) -> int | None:
    """The exit code, or None of a child that was killed: it computed for SECONDS, or waited for them doing nothing.

    Time is counted in seconds of a processor, so that a machine that does much else makes no hang.
    """
    process, started = psutil.Process(child), time.monotonic()
    last, moved = 0.0, started
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        spent = sum(process.cpu_times()[:2])
        if spent > last or process.status() == psutil.STATUS_RUNNING:
            last, moved = spent, time.monotonic()
        if spent > SECONDS or time.monotonic() - max(moved, started) > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


def _in_the_child(one: Provocation, root: Path, arguments: list[str], log: Path) -> None:
    """Runs the verb and never returns."""
    with log.open("wb", 0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.environ["VOXMMSD_HOME"] = str(root / "home")
    os.chdir(root)
    code = 1
    try:
        SURROUNDINGS[one.surroundings](root)
        code = main(arguments)
    except SystemExit as reason:  # argparse
        code = int(reason.code or 0)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def run(count: int, seed: int, only: str = "", keep: Path | None = None, first: int = 0) -> dict[str, Counter]:
    """Counts of what came out, by kind of provocation; those before ``first`` are left out."""
    # Warm: what is forked need not load it again.
    for name in ("onnxruntime", "scipy.ndimage", "matplotlib.pyplot", "SimpleITK", *WARM):
        with suppress(ImportError):
            import_module(name)

    table: dict[str, Counter] = defaultdict(Counter)
    kept = keep.open("w", encoding="utf-8") if keep else None
    with TemporaryDirectory() as folder:
        source = pristine(Path(folder) / "pristine")
        for one in provocations(count, seed):
            if one.number < first or (only and one.kind != only):
                continue
            with TemporaryDirectory(dir=folder) as root:
                outcome, code, said = provoke(one, source, Path(root))
                for path in Path(root).rglob("*"):
                    if not path.is_symlink():
                        path.chmod(0o755)
            table[one.kind][outcome] += 1
            if outcome != MET:
                print(f"{outcome}: {one}: exit {code}: {said[-400:]!r}", flush=True)
            if kept:
                kept.write(json.dumps({**asdict(one), "outcome": outcome, "exit": code, "said": said[-1000:]}) + "\n")
    return table


def markdown(table: dict[str, Counter]) -> str:
    """The table for the docs."""
    outcomes = [MET, *(name for name in (FAULT, HANG, SILENT, SPOILED, OTHERS))]
    lines = ["| " + " | ".join(("provocation", "calls", *outcomes)) + " |", "|---" * (len(outcomes) + 2) + "|"]
    for kind, counts in sorted(table.items()):
        lines.append("| " + " | ".join((kind, str(sum(counts.values())), *(str(counts[o]) for o in outcomes))) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    found = run(given.count, given.seed, given.only, given.keep, given.first)
    print(markdown(found))
    sys.exit(any(counts[name] for counts in found.values() for name in counts if name != MET))
