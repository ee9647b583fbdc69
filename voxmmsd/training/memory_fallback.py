"""What a training gives up, step by step, when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from voxmmsd.compute.processes import Processes
from voxmmsd.errors import RunError
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.runs import RunLog


class MemoryFallback:
    """First activations are computed again instead of kept, then the batch is computed in ``parts``.

    Activation checkpointing gives identical numbers in a third more time. A batch in parts gives nearly the same
    gradient: BatchNorm, and in fine-tuning the class weights and the Dice, are those of each part.
    """

    def __init__(self, batch: int, run: RunLog, processes: Processes) -> None:
        self.parts = 1  # in which a step's batch is computed, one after the other
        self._batch, self._run, self._processes = batch, run, processes

    def make_room(self, trained: nn.Module, step: int, problem: str) -> None:
        """Reduce the memory that a step of ``trained`` takes, and say so.

        Raises:
            RunError: no further reduction is possible.
        """
        unets = _unets(trained)
        if self._processes.is_distributed:
            raise RunError(
                f"out of memory at step {step} in process {self._processes.rank} ({problem}): several processes "
                "cannot change their batch alone",
                "call with a smaller --batch or network",
            )
        if not all(unet.recompute for unet in unets):
            for unet in unets:
                unet.recompute = True
            self._run.warn(
                f"out of memory at step {step} ({problem}): from now on activations are recomputed in the "
                "backward pass; results stay the same, steps take about a third longer"
            )
        elif self.parts < self._batch:
            self.parts = next(n for n in range(self.parts + 1, self._batch + 1) if self._batch % n == 0)
            self._run.warn(
                f"out of memory at step {step} ({problem}): from now on each batch of {self._batch} is "
                f"computed in {self.parts} parts whose gradients are added up; BatchNorm sees one part at a time"
            )
        else:
            raise RunError(
                f"{self._run.folder}: out of memory at step {step} even with one case at a time ({problem})",
                "use a smaller --patch or --block, fewer --channels, or a machine with more memory",
            )

    def state(self, trained: nn.Module) -> dict[str, Any]:
        return {"parts": self.parts, "recompute": any(unet.recompute for unet in _unets(trained))}

    def load_state(self, state: Mapping[str, Any], trained: nn.Module) -> None:
        self.parts = state["parts"]
        for unet in _unets(trained):
            unet.recompute = state["recompute"]


def _unets(network: nn.Module) -> list[UNet3d]:
    return [module for module in network.modules() if isinstance(module, UNet3d)]
