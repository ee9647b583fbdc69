"""Prepared cases in GPU memory, if they fit, so that blocks and patches are cut there and not on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

RESIDENT_SHARE = 0.5  # of a GPU's free memory that prepared cases may take


def resident(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor] | None:
    """The arrays as tensors on a GPU, or None if they do not fit or ``device`` is not a GPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if sum(array.nbytes for array in arrays) >= RESIDENT_SHARE * free:
        return None
    return [torch.from_numpy(np.array(array)).to(device) for array in arrays]
