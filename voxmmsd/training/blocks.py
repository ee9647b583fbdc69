"""Sampling of blocks for pre-training: which cases, where to cut, and how they are read.

Every draw is a function of the seed and of the position in the sequence of all cases. A resumed run thus sees the same
blocks as an uninterrupted one, and two processes together see the same blocks as one with twice the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from voxmmsd.compute.processes import Processes
from voxmmsd.data.store import PreparedCase
from voxmmsd.training.draws import Draw
from voxmmsd.training.residency import resident
from voxmmsd.views.siamese import SiameseBlocks, clean_blocks, draw_corners
from voxmmsd.views.spatial import cut_window


class BlockSampler:
    """Draws two blocks from each of ``batch`` cases per step.

    On a GPU the cases are kept in its memory if they fit; otherwise a thread reads the blocks of the next step from the
    memory map into pinned memory while the GPU computes. The loop over the blocks of a batch only slices, which is
    faster on either device than gathering all voxels by index.
    """

    def __init__(
        self,
        entries: Sequence[PreparedCase],
        size: int,
        batch: int,
        seed: int,
        device: torch.device,
        processes: Processes = Processes(),  # noqa: B008 - frozen
    ) -> None:
        self.entries, self.size, self.batch_size, self.seed, self.device = list(entries), size, batch, seed, device
        self.processes = processes
        self._images: list[np.ndarray] = [entry.image() for entry in self.entries]
        self._present = np.array([entry.present for entry in self.entries])
        self._resident = resident(self._images, device)
        self._ahead: tuple[int, Future[Tensor]] | None = None
        self._reader = ThreadPoolExecutor(1, "blocks") if device.type == "cuda" and not self._resident else None

    def batch(self, step: int) -> SiameseBlocks:
        """The unmasked blocks of a step, on the device."""
        cases, corners = self.places(step)
        raw = self._read(step, cases, corners)
        present = torch.from_numpy(self._present[cases])
        return clean_blocks(raw, self._to_device(torch.from_numpy(corners)), self._to_device(present))

    def places(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Case indices ``(B,)`` and corners ``(2, B, 3)``; the order of the cases is redrawn for each epoch."""
        first = (step * self.processes.size + self.processes.rank) * self.batch_size
        positions = range(first, first + self.batch_size)
        cases = np.array([self._case_at(position) for position in positions])
        corners = [self._corners(position, case) for position, case in zip(positions, cases, strict=True)]
        return cases, np.concatenate(corners, axis=1)

    def _corners(self, position: int, case: int) -> np.ndarray:
        """A function of the position in the sequence of all cases, the same in every process: ``(2, 1, 3)``."""
        rng = np.random.default_rng([self.seed, Draw.BLOCK, position])
        return draw_corners([self._images[case].shape[1:]], self.size, rng)

    def _case_at(self, position: int) -> int:
        turn, place = divmod(position, len(self.entries))
        return int(np.random.default_rng([self.seed, Draw.CASE_ORDER, turn]).permutation(len(self.entries))[place])

    def _read(self, step: int, cases: np.ndarray, corners: np.ndarray) -> Tensor:
        """Raw blocks ``(2B, 4, s, s, s)`` uint8 on the device."""
        if self._resident is not None:
            images, size = self._resident, self.size
            places = [place for view in corners for place in zip(cases, view, strict=True)]
            return torch.stack([cut_window(images[case], corner, corner + size) for case, corner in places])
        if self._reader is None:
            return self._host_blocks(cases, corners)
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._reader.submit(self._host_blocks, cases, corners))
        blocks = self._ahead[1].result()
        self._ahead = (step + 1, self._reader.submit(self._host_blocks, *self.places(step + 1)))
        return self._to_device(blocks)

    def _host_blocks(self, cases: np.ndarray, corners: np.ndarray) -> Tensor:
        out = torch.empty(
            (2 * len(cases), 4, self.size, self.size, self.size),
            dtype=torch.uint8,
            pin_memory=self.device.type == "cuda",
        )
        rows = out.numpy()
        for view, row in zip(corners, np.split(rows, 2), strict=True):
            for case, corner, block in zip(cases, view, row, strict=True):
                block[:] = cut_window(self._images[case], corner, corner + self.size)
        return out

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)
