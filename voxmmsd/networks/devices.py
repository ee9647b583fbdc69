"""Where a training computes and in which precision."""

from __future__ import annotations

import ctypes
import platform

import torch

from voxmmsd.errors import ConfigError


def choose_device(name: str, index: int = 0) -> torch.device:
    """``auto`` is CUDA, else Apple's GPU, else the CPU; ``index`` says which of several GPUs.

    Raises:
        ConfigError: the device asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise ConfigError(f"--device {name}: torch finds no such device here", f"choose one of: {there}")
    return torch.device(name, index) if name == "cuda" else torch.device(name)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, on a GPU or a CPU, found no room for a tensor."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )


def keep_freed_memory() -> None:
    """Let glibc keep the memory that a training step frees instead of handing it back and fetching it again.

    A step on the CPU frees and takes gigabytes in large pieces; the page faults cost a quarter to a third of it
    (``benchmarks/pretrain.py``). The process then holds its peak until it ends. Without glibc nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


class Precision:
    """Mixed precision on CUDA (bfloat16 where the card has it, else float16 with a scaler), float32 elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self._type = (
            torch.bfloat16 if self._on and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=self._on and self._type is torch.float16)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cuda" if self._on else "cpu", dtype=self._type if self._on else None, enabled=self._on)
