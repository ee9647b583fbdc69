"""From NIfTI in to NIfTI out: seconds, peak memory and Dice of ours on each engine, next to the plain path, in one run.

    python benchmarks/segment.py --model MODEL --cases FOLDER [--splits FILE --part validation] [--count 2] [--rounds 3]
                                 [--only NAME ...] [--threads N]
    python benchmarks/segment.py --split [--against COMMIT] [--model MODEL] --cases FOLDER [--count 1] [--rounds 3]
    python benchmarks/segment.py --random 16 32 64 128 256 --cases FOLDER ...

``--random``: a network of these channels with random weights at 1 mm: its speed is that of a trained one, its Dice
means nothing. The model with 8 bits is made here, by two cases that MODEL learned from (of a random one by the first).

The plain path is what a careful user of MONAI writes: the whole uncropped volume at the model's spacing, scaled as the
network was taught, ``sliding_window_inference`` with windows of 96^3, overlap 0.5 and a Gaussian, torch in float32.
Ours is what ``segment`` does with a case, the findings before and the review list after included. Every variant is a
process of its own with its libraries and its network loaded; the variants take turns, case by case. Seconds are
medians; CPU seconds, of all threads, suffer less from other programs. Peak memory is the process's, libraries included.

``--split``: what each stage costs (``stage_costs.py``), cold (a fresh process of the command line) and warm, for this
version and that of ``--against``, beside the plain path, which is warm; ratios are of CPU seconds. Labels are compared.
The last rows of each table are the sum, and what is left of it outside the engine.

Dice: mean over the regions that the expert drew, in points. Agreement: Dice of the tumor with that of the plain path.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np

from voxmmsd.clock import now
from voxmmsd.data.cases import Case, find_cases, read_case
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.evaluation.scores import dice
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.inference.engines import Backend, open_backend
from voxmmsd.inference.predict import predict
from voxmmsd.inference.quantize import quantize
from voxmmsd.inference.results import result_file, write_prediction
from voxmmsd.inference.stages import look_first
from voxmmsd.labels import MODALITIES, indices_from_values, schema_named, values_from_indices
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.package import ModelInfo, ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.wording import text_table

ROOT = Path(__file__).resolve().parent.parent
WINDOW, OVERLAP, MEMORY = 96, 0.5, 4 * 2**30


@dataclass(frozen=True)
class Variant:
    """``way`` None is the plain path."""

    way: Backend | None
    tta: bool = False
    int8: bool = False


PLAIN = "plain path"
VARIANTS = {
    PLAIN: Variant(None),
    "ONNX Runtime": Variant(Backend("onnx")),
    "ONNX Runtime, TTA": Variant(Backend("onnx"), tta=True),
    "ONNX Runtime, int8": Variant(Backend("onnx"), int8=True),
    "OpenVINO": Variant(Backend("openvino")),
    "OpenVINO, TTA": Variant(Backend("openvino"), tta=True),
    "OpenVINO, bfloat16": Variant(Backend("openvino", half=True)),
    "OpenVINO, bfloat16, TTA": Variant(Backend("openvino", half=True), tta=True),
    "OpenVINO, int8": Variant(Backend("openvino"), int8=True),
    "OpenVINO, int8, TTA": Variant(Backend("openvino"), tta=True, int8=True),
    "torch": Variant(Backend("torch")),
    "torch on CUDA": Variant(Backend("torch", "cuda", half=True)),
}


def plain(package: ModelPackage, threads: int, out: Path) -> Callable[[Case], None]:
    import torch
    from monai.inferers import sliding_window_inference

    from voxmmsd.data.preprocess import input_scale, to_uint8
    from voxmmsd.data.volume import Volume, canonical, resample
    from voxmmsd.models.weights import load_network

    torch.set_num_threads(threads)
    network, schema = load_network(package), schema_named(package.info.schema)

    def segment(case: Case) -> None:
        volumes = read_case(case, with_label=False)
        image = canonical(volumes.image)
        image = Volume(to_uint8(np.array(image.array), package.info.preprocess.percentile), image.grid)
        spacing = package.info.preprocess.spacing_mm
        if not np.allclose(image.grid.spacing_mm_zyx, spacing, rtol=0.01):
            moved = resample(image, image.grid.with_spacing(spacing))
            image = Volume(np.rint(moved.array).astype(np.uint8), moved.grid)
        scaled = torch.from_numpy(image.array * input_scale(image.array)[:, None, None, None])[None]
        with torch.inference_mode():
            logits = sliding_window_inference(scaled, (WINDOW,) * 3, 1, network, OVERLAP, mode="gaussian")
            probabilities = torch.softmax(logits[0], 0).numpy()
        back = resample(Volume(probabilities, image.grid), volumes.image.grid)
        label = back.array.argmax(axis=0).astype(np.uint8)
        write_nifti(result_file(out, case.id), values_from_indices(label, schema), volumes.image.grid)

    return segment


def ours(variant: Variant, package: ModelPackage, threads: int, out: Path) -> Callable[[Case], None]:
    assert variant.way
    engine = open_backend(package, variant.way, threads)

    def segment(case: Case) -> None:
        volumes = read_case(case, with_label=False)
        look_first(volumes, package, SegmentConfig())
        write_prediction(predict(volumes, package, engine, tta=variant.tta, memory=MEMORY), out, seconds=0.0)

    return segment


def work(name: str, model: str, cases: Path, threads: int, out: Path) -> None:
    """In a process of its own: a case's id comes in on a line, what it cost goes out on one."""
    variant, package = VARIANTS[name], resolve_model(model)
    segment = ours(variant, package, threads, out) if variant.way else plain(package, threads, out)
    known = {case.id: case for case in find_cases(cases).cases}
    print("ready", flush=True)
    for line in sys.stdin:
        case_id = line.strip()
        for file in out.glob(f"{case_id}-voxmmsd*"):
            file.unlink()
        wall, cpu = time.perf_counter(), time.process_time()
        segment(known[case_id])
        peak = peak_gib()
        cost = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "gib": peak}
        print(json.dumps(cost), flush=True)


def peak_gib() -> float:
    """Of this process alone: what ``resource`` tells starts from what the parent took."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 2**20


class Worker:
    """The process of a variant."""

    def __init__(self, name: str, given: argparse.Namespace, out: Path) -> None:
        self.out = out / name.replace(" ", "-")
        self.out.mkdir()
        self.costs: list[dict[str, float]] = []
        model = given.int8 if VARIANTS[name].int8 else given.model
        command = [sys.executable, __file__, "--work", name, "--model", model, "--cases", str(given.cases)]
        command += ["--threads", str(given.threads), "--out", str(self.out)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def segment(self, case_id: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(case_id + "\n")
        self._process.stdin.flush()
        self.costs.append(json.loads(self._answer()))

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            sys.exit(f"{self.out.name}: ended with {self._process.wait()}")
        return line


def scores(worker: Worker, cases: list[Case], package: ModelPackage, plain_out: Path | None) -> tuple[float, float]:
    """Mean Dice in points with the experts' regions, and with the plain path's whole tumor."""
    schema, points, agreement = schema_named(package.info.schema), [], []
    for case in cases:
        predicted = _labels(result_file(worker.out, case.id), package)
        if plain_out:
            agreement.append(dice(_labels(result_file(plain_out, case.id), package) > 0, predicted > 0))
        expert = read_case(case).label_zyx if case.label else None
        for region in schema.regions if expert is not None else ():
            drawn = np.isin(expert, schema.region_indices(region))
            if drawn.any():
                points.append(dice(drawn, np.isin(predicted, schema.region_indices(region))))
    return 100 * float(np.mean(points)) if points else float("nan"), float(np.nanmean(agreement or [np.nan]))


def _labels(file: Path, package: ModelPackage) -> np.ndarray:
    values = np.asarray(nib.load(file).dataobj).T
    return indices_from_values(values, schema_named(package.info.schema), str(file))


def compare(given: argparse.Namespace, out: Path) -> None:
    if given.random:
        given.model = str(random_package(out / "random", tuple(given.random)).folder)
    given.model = given.model or str(resolve_model("").folder)
    package = resolve_model(given.model)
    cases = list(find_cases(given.cases).cases)
    if given.splits:
        chosen = set(json.loads(given.splits.read_text(encoding="utf-8"))[given.part])
        cases = [case for case in cases if case.id in chosen]
    cases = cases[: given.count or None]
    names = given.only or [name for name in VARIANTS if name != "torch on CUDA"]
    if any(VARIANTS[name].int8 for name in names):
        given.int8 = str(quantize(package, calibration_cases(given.cases, package), out / "int8").folder)
    workers = {name: Worker(name, given, out) for name in names}
    for number in range(given.rounds):
        for case in cases:
            for name, worker in workers.items():
                worker.segment(case.id)
                print(f"round {number + 1}, {case.id}, {name}: {worker.costs[-1]}", file=sys.stderr, flush=True)
    plain_out = workers[PLAIN].out if PLAIN in workers else None
    base = {key: statistics.median(c[key] for c in workers[names[0]].costs) for key in ("seconds", "cpu")}
    rows = [("", "seconds", "times as fast", "CPU seconds", "times less", "peak GiB", "Dice", "agreement")]
    for name, worker in workers.items():
        seconds, cpu = (statistics.median(cost[key] for cost in worker.costs) for key in ("seconds", "cpu"))
        points, agreement = scores(worker, cases, package, plain_out)
        peak = max(cost["gib"] for cost in worker.costs)
        measured = (seconds, base["seconds"] / seconds, cpu, base["cpu"] / cpu)
        rows.append((name, *(f"{value:.1f}" for value in measured), f"{peak:.2f}", f"{points:.2f}", f"{agreement:.4f}"))
        worker.close()
    print(f"{package.info.id}, {package.info.preprocess.spacing_mm} mm, {len(cases)} cases, {given.threads} threads")
    print(text_table(rows))


def split(given: argparse.Namespace, out: Path) -> None:
    trees = {"now": ROOT}
    if given.against:
        trees["before"] = out / "before"
        subprocess.run(
            ["git", "-C", ROOT, "worktree", "add", "-q", "--detach", trees["before"], given.against], check=True
        )
    try:
        for tree in trees.values():  # an installed package is compiled
            subprocess.run([sys.executable, "-m", "compileall", "-q", tree / "voxmmsd"], check=True)
        _split(given, out, trees)
    finally:
        if given.against:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", trees["before"]], check=True)


def _split(given: argparse.Namespace, out: Path, trees: dict[str, Path]) -> None:
    cases = find_cases(given.cases).cases[: given.count or 1]
    given.model = given.model or str(resolve_model("").folder)
    plain_worker = Worker(PLAIN, given, out)
    costs: dict[tuple[str, str], list[dict[str, list[float]]]] = defaultdict(list)
    for number in range(given.rounds):
        for case in cases:
            plain_worker.segment(case.id)
            for how, tree in product(("cold", "warm"), trees):
                place = out / f"{tree}-{how}-{case.id}-{number}"
                command = [sys.executable, "-P", Path(__file__).with_name("stage_costs.py"), how, given.model]
                command += [
                    next(iter(case.modalities.values())).path.parent,
                    place,
                    str(given.threads),
                    str(time.time()),
                ]
                done = subprocess.run(
                    command,
                    env={**os.environ, "PYTHONPATH": str(trees[tree])},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                costs[how, tree].append(json.loads(done.stdout.splitlines()[-1]))
                print(
                    f"round {number + 1}, {case.id}, {how}, {tree}: {costs[how, tree][-1]}", file=sys.stderr, flush=True
                )
    plain_worker.close()
    for how in ("cold", "warm"):
        print(text_table(_stage_rows(how, {tree: costs[how, tree] for tree in trees})))
    wall, cpu = (statistics.median(cost[key] for cost in plain_worker.costs) for key in ("seconds", "cpu"))
    print(f"plain path, warm: {wall:.2f} seconds, {cpu:.2f} CPU seconds")
    for case in cases if given.against else ():
        files = [next((out / f"{tree}-cold-{case.id}-0").glob("*-voxmmsd.nii.gz")) for tree in trees]
        one, other = (np.asarray(nib.load(file).dataobj) for file in files)
        same = "the same labels" if np.array_equal(one, other) else f"Dice {dice(one > 0, other > 0):.5f}"
        print(f"{case.id}: {same}, {hashlib.sha256(one.tobytes()).hexdigest()[:16]}")


def _stage_rows(how: str, costs: dict[str, list[dict[str, list[float]]]]) -> list[tuple[str, ...]]:
    """Medians of wall and CPU seconds by stage, of each version, and how many times less CPU seconds it is now."""
    names = [name for tree in costs for name in (f"{tree}: seconds", "CPU seconds")]
    rows: list[tuple[str, ...]] = [(how, *names, *(["times less"] if len(costs) > 1 else []))]
    total = [
        {
            **cost,
            "sum": [sum(c[i] for c in cost.values()) for i in range(2)],
            "outside the network": [sum(c[i] for stage, c in cost.items() if stage != "network") for i in range(2)],
        }
        for one in costs.values()
        for cost in one
    ]
    rounds = len(total) // len(costs)
    for stage in total[0]:
        found = [
            [
                statistics.median(cost[stage][which] for cost in total[n * rounds : (n + 1) * rounds])
                for which in range(2)
            ]
            for n in range(len(costs))
        ]
        ratio = [f"{found[1][1] / max(found[0][1], 1e-3):.1f}"] if len(found) > 1 else []
        rows.append((stage, *(f"{value:.2f}" for pair in found for value in pair), *ratio))
    return rows


def random_package(folder: Path, channels: tuple[int, ...]) -> ModelPackage:
    import torch

    from voxmmsd.models.weights import pack_network
    from voxmmsd.networks.heads import SegmentationNetwork

    torch.manual_seed(0)
    network, schema = NetworkConfig.of(channels), schema_named("brats-2021")
    info = ModelInfo(
        id="random", name="random", version="0", parent=None, created=now(), network=network, schema=schema.name,
        modalities=MODALITIES, preprocess=PreprocessConfig(), window=WINDOW, training={}, scores={}, licence="none",
        limits="Random weights: for measuring speed.", files={},
    )  # fmt: skip
    return pack_network(folder, SegmentationNetwork(network, schema.class_count).eval(), info)


def calibration_cases(folder: Path, package: ModelPackage) -> list[Case]:
    cases = list(find_cases(folder).cases)
    learned = set(package.info.training.get("cases", {}).get("train", ()))
    return [case for case in cases if case.id in learned][:2] or cases[:1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", help="default: the model in use, the starter at first")
    model.add_argument("--random", type=int, nargs="+", metavar="CHANNELS")
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--part", default="validation")
    parser.add_argument("--count", type=int, default=0, help="how many cases (0: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME")
    parser.add_argument("--split", action="store_true", help="what each stage costs")
    parser.add_argument("--against", metavar="COMMIT", help="with --split: an earlier version to compare with")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.model, given.cases, given.threads, given.out)
        return
    with tempfile.TemporaryDirectory() as out:
        (split if given.split else compare)(given, Path(out))


if __name__ == "__main__":
    main()
