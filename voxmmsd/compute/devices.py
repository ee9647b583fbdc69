"""Device and precision of a training."""

from __future__ import annotations

import ctypes
import platform

import torch

from voxmmsd.errors import ConfigError


def choose_device(name: str, index: int = 0) -> torch.device:
    """Choose the device: ``auto`` is CUDA, else Apple's GPU, else the CPU; ``index``: which of several GPUs.

    Raises:
        ConfigError: the requested device is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise ConfigError(f"--device {name}: torch finds no such device here", f"choose one of: {there}")
    return torch.device(name, index) if name == "cuda" else torch.device(name)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that torch, on a GPU or a CPU, could not allocate a tensor."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning it to the system and requesting it again.

    A training step on the CPU frees and allocates gigabytes in large blocks; the page faults cost a quarter to a third
    of its time (``benchmarks/pretrain.py``). The process then keeps its peak memory until it ends. No effect without
    glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


class Precision:
    """Mixed precision on CUDA (bfloat16 if supported, else float16 with a scaler), float32 elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self._type = (
            torch.bfloat16 if self._on and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=self._on and self._type is torch.float16)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cuda" if self._on else "cpu", dtype=self._type if self._on else None, enabled=self._on)
