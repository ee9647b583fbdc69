"""Choice of the inference engine: the requested one, else the fastest on this machine, measured once per model."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from voxmmsd.concurrency import usable_cores
from voxmmsd.errors import ConfigError, MissingDependencyError
from voxmmsd.files import read_json, write_json_atomic
from voxmmsd.home import home
from voxmmsd.inference.engines.engine import Engine
from voxmmsd.inference.engines.on_onnxruntime import OnnxEngine
from voxmmsd.inference.engines.on_openvino import OpenVinoEngine, half_precision_there, is_installed, load_openvino
from voxmmsd.models.package import ONNX, ModelPackage, refuse_pretrained

_MEASURED_SIDE, _REPEATS = 64, 2
_ON_CPU, _GPUS = ("onnx", "openvino"), ("cuda", "mps")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Backend:
    """Inference backend: ``engine`` onnx, openvino or torch; ``device`` cpu, cuda or mps; ``half``: half precision."""

    engine: str
    device: str = "cpu"
    half: bool = False


def open_engine(
    package: ModelPackage,
    engine: str = "auto",
    device: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    say: Say = lambda text: None,
) -> Engine:
    """Open the engine that ``choose_backend`` chooses; raises the same errors."""
    threads = bounded_threads(threads, say)
    return open_backend(package, choose_backend(package, engine, device, threads, precision, say), threads)


def bounded_threads(threads: int, say: Say = lambda text: None) -> int:
    """``threads``, but no more than this process may use cores: more only wait for each other, thousands for ever."""
    cores = usable_cores()
    if threads > cores:
        say(f"--threads {threads}: this machine has {cores} cores, of which all are used")
        return cores
    return threads


def choose_backend(
    package: ModelPackage,
    engine: str = "auto",
    device: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    say: Say = lambda text: None,
) -> Backend:
    """The requested backend; ``auto`` is torch on CUDA if there is a GPU, else the fastest installed one.

    ``precision``: float32, half, or auto, which is half on CUDA only. ``say`` receives messages on measurements.

    Raises:
        ModelError: the model was only pre-trained.
        ConfigError: options that exclude each other.
    """
    refuse_pretrained(package)
    if engine in _ON_CPU and device in _GPUS:
        raise ConfigError(f"--engine {engine} computes on the CPU, not on {device}", "choose --engine torch")
    if engine == "onnx" and precision == "half":
        raise ConfigError("--engine onnx computes in float32", "choose --engine openvino or torch for --precision half")
    half = precision == "half"
    if engine in _ON_CPU:
        return Backend(engine, half=half)
    gpus = _gpus_here() if device == "auto" else [name for name in _GPUS if name == device]
    if engine == "torch" or device in _GPUS or "cuda" in gpus:
        place = gpus[0] if gpus else "cpu"
        return Backend("torch", place, half or (place == "cuda" and precision == "auto"))
    candidates = [Backend("torch", gpu, half) for gpu in gpus]
    candidates += [Backend("openvino", half=half)] if is_installed() and (not half or half_precision_there()) else []
    candidates += [] if half else [Backend("onnx")]
    if not candidates:
        raise ConfigError("--precision half: no installed engine supports it on this CPU", "choose float32")
    return candidates[0] if len(candidates) == 1 else _fastest(package, candidates, threads, say)


def open_backend(package: ModelPackage, backend: Backend, threads: int = 0) -> Engine:
    """Open the engine of a backend.

    Raises:
        ConfigError: the device or its half precision is not available.
        MissingDependencyError: OpenVINO or torch is not installed.
    """
    if backend.engine == "onnx":
        return OnnxEngine(package, threads)
    if backend.engine == "openvino":
        return OpenVinoEngine(package, threads, backend.half)
    if not _torch_is_there():
        raise MissingDependencyError(
            "torch is not installed", "install it with `pip install 'voxmmsd[train]'`, or choose --engine onnx"
        )
    from voxmmsd.inference.engines.on_torch import open_torch

    return open_torch(package, backend.device, threads, backend.half)


def load_libraries() -> None:
    """Import what an engine is going to import on this machine, without opening a model."""
    _gpus_here()
    if is_installed():
        load_openvino()


def fallback_backends(package: ModelPackage, backend: Backend, threads: int = 0) -> Iterator[Backend]:
    """Fallbacks if memory does not suffice even with small windows: lower precision, then the CPU."""
    while backend.device != "cpu":
        if not backend.half:
            yield Backend(backend.engine, backend.device, half=True)
        backend = choose_backend(package, "auto", "cpu", threads)
        yield backend
    if not backend.half and is_installed() and half_precision_there():
        yield Backend("openvino", half=True)


def _fastest(package: ModelPackage, candidates: list[Backend], threads: int, say: Say) -> Backend:
    """Measured on a small window of noise, or cached from an earlier measurement."""
    known, key = _remembered(), _key(package, candidates, threads)
    if key in known:
        return Backend(**known[key]["way"])
    seconds = [_seconds(open_backend(package, backend, threads)) for backend in candidates]
    found = dict(zip((f"{backend.engine} on {backend.device}" for backend in candidates), seconds, strict=True))
    best = candidates[seconds.index(min(seconds))]
    measured = ", ".join(f"{name} {value:.2f} s" for name, value in found.items())
    say(f"measured once, for this machine and model: {measured}; {best.engine} is used")
    try:
        write_json_atomic(_file(), {**known, key: {"way": asdict(best), "seconds": found}})
    except OSError as error:
        say(f"{_file()}: the measurement cannot be kept and is repeated at the next call ({error.strerror})")
    return best


def _seconds(engine: Engine) -> float:
    """The best time for one window, warm."""
    noise = np.random.default_rng(0).random((1, 4, *3 * (_MEASURED_SIDE,)), np.float32)
    image, times = engine.arrays.place(noise), []
    for _ in range(1 + _REPEATS):
        started = time.perf_counter()
        engine.arrays.fetch(engine.logits(image)[0])
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _key(package: ModelPackage, candidates: list[Backend], threads: int) -> str:
    used = [
        f"{backend.engine} {metadata.version(_PACKAGES[backend.engine])} on {backend.device}" for backend in candidates
    ]
    cores = threads or usable_cores()
    return " | ".join([platform.node(), f"{cores} threads", package.info.files[ONNX][:16], *used])


_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}


def _file() -> Path:
    return home() / "engines.json"


def _remembered() -> dict[str, dict]:
    try:
        record = read_json(_file())
    except (OSError, ValueError):  # none yet, or broken: it is measured again
        return {}
    return record if isinstance(record, dict) else {}


def _gpus_here() -> list[str]:
    """What torch can compute on. It is only imported, which takes seconds, where the system shows a GPU."""
    if not _torch_is_there() or not _a_gpu_shows():
        return []
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, is_there in there.items() if is_there]


def _a_gpu_shows() -> bool:
    """Whether torch may find a GPU: Apple's is in every Mac with its own processor; NVIDIA's driver counts its devices
    (Linux, also in WSL, and Windows) as torch would ask it to; AMD's driver for computing has a device file.
    """
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if Path("/dev/kfd").exists():
        return True
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):  # no driver, or none that can be asked
        return False


def _torch_is_there() -> bool:
    return importlib.util.find_spec("torch") is not None
