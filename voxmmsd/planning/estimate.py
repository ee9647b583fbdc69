"""Estimate time, memory and disk space of a training on this machine, from a few steps on one of its cases."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch

from voxmmsd.compute.processes import Processes
from voxmmsd.data.case import Case
from voxmmsd.data.cases import find_cases
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import PreparedCase, is_store, open_store, prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.labels import schema_named
from voxmmsd.library import HOLD_OUT, is_library, open_library
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import NullRun, resolve_run
from voxmmsd.training.cases import preprocess_of, target_schema
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.loop import TrainingLoop
from voxmmsd.training.pretrain import PreTraining
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.wording import in_words

MEASURED_STEPS, MEASURED_SECONDS = 5, 20.0  # whichever comes first, after one step that warms up
TOO_LONG_SECONDS = 24 * 3600.0  # on a CPU: a GPU does it in a small part of the time
VALIDATION_SHARE = 0.2  # as ``make_splits`` draws


@dataclass(frozen=True)
class Estimate:
    """Seconds for the whole run and its parts; peak bytes, and bytes that are free now."""

    cases: int
    device: str
    step_seconds: float
    seconds: float
    prepare_seconds: float
    memory_bytes: int
    free_memory_bytes: int
    disk_bytes: int
    free_disk_bytes: int

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "problems": self.problems()}

    def problems(self) -> list[str]:
        """Reasons against running it on this machine: ``too long``, ``memory``, ``disk``."""
        found = ["too long"] if self.device == "cpu" and self.seconds > TOO_LONG_SECONDS else []
        found += ["memory"] if self.memory_bytes > self.free_memory_bytes else []
        return found + (["disk"] if self.disk_bytes > self.free_disk_bytes else [])

    def text(self) -> str:
        advice = {
            "too long": "this is not sensible on a CPU: take the job to a GPU server, as `voxmmsd job` packs it",
            "memory": "there is not enough memory: choose a smaller --patch or --block, or fewer --channels",
            "disk": "there is not enough room on the disk: name another --run or --store",
        }
        lines = [
            f"about {in_words(self.seconds)} on {self.device}: {self.step_seconds:.2f} s a step, {self.cases} cases",
            f"memory about {_size(self.memory_bytes)} of {_size(self.free_memory_bytes)} that are free",
            f"disk about {_size(self.disk_bytes)} of {_size(self.free_disk_bytes)} that are free",
        ]
        return "\n".join([*lines, *(advice[problem] for problem in self.problems())])


@dataclass(frozen=True)
class _Data:
    """The numbers of training and validation cases, one prepared case, and the time to prepare it."""

    training: int
    validation: int
    entry: PreparedCase
    prepare_seconds: float


def estimate(config: FinetuneConfig | PretrainConfig) -> Estimate:
    """Prepare one case, run a few steps and one validation, and save once; nothing is kept.

    The measurement gives the cost of each part on this machine, the configuration how often it occurs.

    Raises:
        InputError: no case to train on.
    """
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        data = _one_prepared(config, Path(place) / "store")
        training = _made(config, data.entry, Path(place) / "run")
        training.train_step()  # allocations and caches
        step_seconds = _mean_seconds(training)
        training.step = max(training.step, 1)
        look_seconds = _seconds(lambda: training.after_step(True))
        save_seconds = _seconds(training.save)
        checkpoint_bytes = sum(file.stat().st_size for file in (Path(place) / "run" / "checkpoints").glob("step-*"))
        memory, free_memory = _memory(training.device)
        array_bytes = data.entry.array_file.stat().st_size
    every = config.validate_every if isinstance(config, FinetuneConfig) else config.preview_every
    looks = math.ceil(config.steps / every) * (data.validation if isinstance(config, FinetuneConfig) else 1)
    cases = data.training + data.validation
    prepare_seconds = data.prepare_seconds * cases
    saves = math.ceil(config.steps / config.checkpoint_every)
    is_new = data.prepare_seconds > 0
    return Estimate(
        cases=cases,
        device=training.device.type,
        step_seconds=step_seconds,
        seconds=prepare_seconds + config.steps * step_seconds + looks * look_seconds + saves * save_seconds,
        prepare_seconds=prepare_seconds,
        memory_bytes=memory,
        free_memory_bytes=free_memory,
        disk_bytes=is_new * array_bytes * cases + checkpoint_bytes * (config.keep_checkpoints + 2),
        free_disk_bytes=shutil.disk_usage(_there(resolve_run(config.run))).free,
    )


def _one_prepared(config: FinetuneConfig | PretrainConfig, store: Path) -> _Data:
    labeled = isinstance(config, FinetuneConfig)
    prepared: list[PreparedCase] = []
    cases: list[Case] = []
    held = 0
    for folder in map(Path, config.folders):
        if is_library(folder):
            library = open_library(folder)
            known = [case for case in library.cases() if case.accepted or not labeled]
            cases += [library.as_case(case, case.accepted if labeled else None) for case in known]
            held += sum(case.part == HOLD_OUT for case in known)
        elif is_store(folder):
            prepared += [entry for entry in open_store(folder) if entry.has_label or not labeled]
        else:
            schema = config.schema if isinstance(config, FinetuneConfig) else None
            cases += [case for case in find_cases(folder, schema or None).cases if case.label or not labeled]
    count = len(cases) + len(prepared)
    if not count:
        what = "labeled case" if labeled else "case"
        raise InputError(
            f"{', '.join(config.folders)}: holds no {what} to learn from", "name a folder that does, or add cases"
        )
    held = held or (max(1, round(VALIDATION_SHARE * count)) if labeled else 0)
    if prepared:
        return _Data(count - held, held, _mapped(prepared[0], config, [*cases, *prepared]), 0.0)
    start = time.perf_counter()
    case = cases[0] if labeled else replace(cases[0], label=None)
    result = prepare_cases([case], store, preprocess_of(config), workers=1)
    result.refuse_failures()
    return _Data(count - held, held, _mapped(result.entries[0], config, cases), time.perf_counter() - start)


def _mapped(
    entry: PreparedCase, config: FinetuneConfig | PretrainConfig, cases: Sequence[Case | PreparedCase]
) -> PreparedCase:
    """With its labels as a fine-tuning on ``cases`` maps them; those of a library, which has one schema, stay."""
    if isinstance(config, PretrainConfig) or any(is_library(Path(name)) for name in config.folders):
        return entry
    target = target_schema(config, [case.schema or "" for case in cases])
    return entry.mapped_onto(schema_named(target)) if target else entry


def _made(config: FinetuneConfig | PretrainConfig, entry: PreparedCase, folder: Path) -> TrainingLoop:
    folder.mkdir()
    run, processes = NullRun(folder), Processes()
    if isinstance(config, PretrainConfig):
        return PreTraining(config, run, [entry], (), processes)
    if config.start and any(is_library(Path(name)) for name in config.folders):
        config = replace(config, channels=resolve_model(config.start).info.network.channels)
    config.check_patch()
    training = FineTuning(replace(config, start=""), run, [entry], Splits((entry.id,), ()), processes)
    training.validation = [entry]  # what it learns is of no use, only its cost counts; no tumor bank is refused for it
    return training


def _mean_seconds(training: TrainingLoop) -> float:
    start = time.perf_counter()
    for number in range(1, MEASURED_STEPS + 1):
        training.step = number
        float(training.train_step()["loss"])  # waits for a GPU
        if time.perf_counter() - start > MEASURED_SECONDS:
            break
    return (time.perf_counter() - start) / number


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _memory(device: torch.device) -> tuple[int, int]:
    """Peak memory of this process and its limit, in bytes: of the GPU, or of the machine."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_reserved(device)
        return peak, torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    used = psutil.Process().memory_info()
    return max(used.rss, getattr(used, "peak_wset", 0)), psutil.virtual_memory().available + used.rss


def _there(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 0.1 * 2**30 else f"{size / 2**20:.0f} MiB"
