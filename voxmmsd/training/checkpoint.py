"""Checkpoints of a training: written atomically, verified when read, and never able to run code."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from voxmmsd.compute.processes import Processes, broadcast_from_first
from voxmmsd.errors import RunError
from voxmmsd.files import is_disk_full, written_aside
from voxmmsd.runs import RunLog

_PATTERN = "step-*.pt"
_MARK = b"\nsha256 "


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int, keep_every: int = 0) -> Path:
    """Write ``step-STEP.pt``, then delete all but the newest ``keep`` and those at multiples of ``keep_every`` steps.

    Raises:
        RunError: the disk is full; earlier checkpoints are intact.
    """
    file = folder / f"step-{step:08d}.pt"
    save_state(file, state)
    for old in sorted(folder.glob(_PATTERN))[: -max(1, keep)]:
        if not (keep_every and int(old.stem.removeprefix("step-")) % keep_every == 0):
            _discard(old)
    for left_by_a_kill in folder.glob(".step-*.tmp.pt"):
        _discard(left_by_a_kill)
    return file


def _discard(file: Path) -> None:
    with suppress(PermissionError):  # Windows, while another program reads it: the next checkpoint discards it
        file.unlink()


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically; the file ends with the checksum of everything before it.

    Raises:
        RunError: the disk is full; an existing file is intact.
    """
    try:
        with written_aside(file) as aside:
            with aside.open("wb") as stream:
                torch.save(state, stream)
            with aside.open("rb+") as stream:
                checksum = hashlib.file_digest(stream, "sha256").hexdigest()
                stream.seek(0, os.SEEK_END)
                stream.write(_MARK + checksum.encode())
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise RunError(
            f"{file}: the disk is full", "earlier checkpoints are intact, free disk space and call again to continue"
        ) from error


def load_state(file: Path) -> dict[str, Any]:
    """Read a file written by ``save_state``, to the CPU.

    Raises:
        RunError: the file is missing, does not match its checksum, or could run code.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(
            f"{file}: checkpoint cannot be read ({error.strerror})", "check its permissions, or remove it"
        ) from error
    end = len(content) - len(_MARK) - 64
    payload = memoryview(content)[: max(0, end)]
    if content[max(0, end) :] != _MARK + hashlib.sha256(payload).hexdigest().encode():
        raise RunError(f"{file}: checkpoint is damaged (its checksum does not match)", "remove it")
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler meets hostile bytes with whatever comes to its mind
        raise RunError(
            f"{file}: holds more than tensors and plain values and was not read, since it could run code", "remove it"
        ) from error


def newest_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest intact checkpoint, or None, and what was wrong with those skipped."""
    problems: list[str] = []
    for file in sorted(folder.glob(_PATTERN), reverse=True):
        try:
            return load_state(file), problems
        except RunError as error:
            problems.append(error.problem)
    return None, problems


class Checkpointer:
    """The checkpoints of a run: the first process writes them, all resume from the same one.

    ``keep`` and ``keep_every``: as in ``save_checkpoint``.
    """

    def __init__(self, run: RunLog, processes: Processes, keep: int, keep_every: int) -> None:
        self._run, self._processes = run, processes
        self._keep, self._keep_every = keep, keep_every
        self._folder = run.folder / "checkpoints"

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Raises RunError: the disk is full."""
        record = {"step": step, "processes": self._processes.size, **state}
        save_checkpoint(self._folder, step, record, self._keep, self._keep_every)

    def newest(self) -> dict[str, Any] | None:
        """The newest intact checkpoint, if there is one.

        Raises:
            RunError: the processes find different ones, or it was written by another number of processes.
        """
        state, problems = newest_checkpoint(self._folder)
        for problem in problems:
            self._run.warn(f"{problem}; going back to an earlier one")
        mine = state["step"] if state else 0
        if mine != broadcast_from_first(mine, self._processes):
            raise RunError(
                f"{self._run.folder}: process {self._processes.rank} finds another newest checkpoint than the first "
                "one",
                "put the run folder on a disk that all hosts share",
            )
        if state is not None and state["processes"] != self._processes.size:
            raise RunError(
                f"{self._run.folder}: was started with {state['processes']} processes, now there are "
                f"{self._processes.size}",
                "start as many, by torchrun, to continue it",
            )
        return state
