"""Device and precision of a training."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping
from typing import Any

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


def cpu_has_bfloat16() -> bool:
    """Whether this CPU calculates in bfloat16 (AVX-512 or AMX). Others emulate it, more slowly than float32.

    False in versions of torch that do not say.
    """
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


class Precision:
    """What a training computes in: ``auto`` is mixed precision on CUDA, float32 elsewhere.

    Mixed precision is in bfloat16; on a GPU without it, in float16 with a ``scaler``. On a CPU it has to be asked for:
    it is faster, and the first steps from scratch suffer (``docs/long-runs.md``).

    Raises:
        ConfigError: ``asked`` is ``half``, which the device does not have.
    """

    def __init__(self, device: torch.device, asked: str = "auto") -> None:
        half = device.type == "cuda" or (device.type == "cpu" and cpu_has_bfloat16())
        if asked == "half" and not half:
            what = "this CPU does not support bfloat16" if device.type == "cpu" else f"not supported on {device.type}"
            raise ConfigError(f"--precision half: {what}", "choose float32")
        self._device = "cuda" if device.type == "cuda" else "cpu"
        self._on = half and (asked == "half" or (asked == "auto" and device.type == "cuda"))
        emulated = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        self._type = torch.float16 if emulated else torch.bfloat16
        self.scaler = torch.amp.GradScaler("cuda", enabled=self._on and self._type is torch.float16)
        self.name = str(self._type if self._on else torch.float32).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self._device, dtype=self._type if self._on else None, enabled=self._on)
