"""Where a training computes and in which precision."""

from __future__ import annotations

import torch

from voxmmsd.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA, else Apple's GPU, else the CPU.

    Raises:
        ConfigError: the device asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise ConfigError(f"--device {name}: torch finds no such device here; available: {there}")
    return torch.device(name)


class Precision:
    """Mixed precision on CUDA (bfloat16 where the card has it, else float16 with a scaler), float32 elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"
        self._type = torch.bfloat16 if self._on and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler("cuda", enabled=self._on and self._type is torch.float16)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cuda" if self._on else "cpu", dtype=self._type if self._on else None, enabled=self._on)
