"""Losses of a step that several processes compute together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from voxmmsd.compute.processes import Processes

Losses = Callable[[int], Mapping[str, Tensor]]


class ParallelLosses:
    """Losses whose gradients are the mean over all processes, if there are several.

    In these losses each process has its own BatchNorm statistics unless ``sync_batchnorm``.
    """

    def __init__(self, processes: Processes, sync_batchnorm: bool) -> None:
        self._processes, self._sync_batchnorm = processes, sync_batchnorm
        self._parallel: DistributedDataParallel | None = None

    def __call__(self, trained: nn.Module, losses: Losses, part: int) -> Mapping[str, Tensor]:
        """``losses`` of a part of the batch; ``trained`` holds the parameters that they have gradients for."""
        if not self._processes.is_distributed:
            return losses(part)
        if self._parallel is None:
            self._parallel = self._wrapped(trained, losses)
        return self._parallel(part)

    def close(self) -> None:
        """Let go of the process group, which the processes can leave only then."""
        self._parallel = None

    def _wrapped(self, trained: nn.Module, losses: Losses) -> DistributedDataParallel:
        if self._sync_batchnorm:
            nn.SyncBatchNorm.convert_sync_batchnorm(trained)
        # 1^3 kernels in channels-last have no one layout; it costs a copy of a few kilobytes.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        with warnings.catch_warnings():  # of a successor of the argument that torch before 2.13 does not know
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(_LossModule(trained, losses), broadcast_buffers=False)


class _LossModule(nn.Module):
    """Module for DistributedDataParallel whose forward pass computes the losses of a step."""

    def __init__(self, trained: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.trained = trained
        self._losses = losses

    def forward(self, part: int) -> Mapping[str, Tensor]:
        return self._losses(part)
