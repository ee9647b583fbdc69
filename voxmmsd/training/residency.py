"""Prepared cases in a GPU's own memory, where they fit: blocks and patches are then cut there, waiting for no core."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

RESIDENT_SHARE = 0.5  # of a GPU's free memory that prepared cases may take


def resident(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor] | None:
    """The arrays as tensors on a GPU, or None: it has no room for them, or ``device`` is none."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if sum(array.nbytes for array in arrays) >= RESIDENT_SHARE * free:
        return None
    return [torch.from_numpy(np.array(array)).to(device) for array in arrays]
