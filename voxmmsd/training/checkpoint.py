"""Checkpoints of a training: whole or not there, checked when read, and never able to run code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from voxmmsd.errors import RunError
from voxmmsd.files import sha256_of, write_text_atomic, written_aside

_PATTERN = "step-*.pt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``step-STEP.pt`` and its checksum, then drop all but the newest ``keep``."""
    file = folder / f"step-{step:08d}.pt"
    save_state(file, state)
    for old in sorted(folder.glob(_PATTERN))[: -max(1, keep)]:
        _checksum_file(old).unlink(missing_ok=True)
        old.unlink()
    return file


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all, with a checksum beside."""
    with written_aside(file) as aside:
        torch.save(state, aside)
        checksum = sha256_of(aside)
    write_text_atomic(_checksum_file(file), checksum + "\n")


def load_state(file: Path) -> dict[str, Any]:
    """Read what ``save_state`` wrote, onto the CPU.

    Raises:
        RunError: the file is missing or does not fit its checksum.
    """
    try:
        expected = _checksum_file(file).read_text(encoding="utf-8").strip()
        actual = sha256_of(file)
    except OSError as error:
        raise RunError(f"{file}: checkpoint or its checksum is missing ({error.strerror})") from error
    if actual != expected:
        raise RunError(f"{file}: checkpoint is damaged (its checksum does not fit)")
    return torch.load(file, map_location="cpu", weights_only=True)


def newest_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint, or None, and what was wrong with those passed over."""
    problems: list[str] = []
    for file in sorted(folder.glob(_PATTERN), reverse=True):
        try:
            return load_state(file), problems
        except RunError as error:
            problems.append(str(error))
    return None, problems


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".sha256")
