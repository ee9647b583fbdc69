"""Preparation of images, as the model learned it (from voxmmsd, Apache-2.0); part of every exported MONAI bundle.

``to_uint8`` and ``input_scale`` are those of ``voxmmsd.data.preprocess``, which a test compares them with: a bundle
runs without voxmmsd.
"""

from typing import Any

import numpy as np
import torch

TISSUE_LEVEL = 0.5


def to_uint8(image_czyx: np.ndarray, percentile: float, mask_zyx: np.ndarray | None = None) -> np.ndarray:
    """Scale each channel so that the percentile of its non-zero voxels is 255, clip, round; all-zero channels stay.

    ``mask_zyx``: bool; outside it everything is 0. Channels are gone through one by one, which takes little memory.
    """
    out = np.zeros(image_czyx.shape, np.uint8)
    for channel, scaled in zip(image_czyx, out, strict=True):
        inside = channel[channel != 0 if mask_zyx is None else (channel != 0) & mask_zyx]
        top = np.percentile(inside, percentile) if inside.size else 0.0
        if top > 0:
            values = channel * np.float32(255.0 / top)
            np.clip(values, 0, 255, out=values)
            np.rint(values, out=values)
            if mask_zyx is not None:
                values *= mask_zyx
            scaled[...] = values
    return out


def input_scale(image_czyx: np.ndarray) -> np.ndarray:
    """Factors ``(4,)`` float32 that bring prepared uint8 to what a segmentation network sees; 0 for an absent modality.

    The median of each modality's voxels above 0, which is healthy tissue for the most part, becomes ``TISSUE_LEVEL``.
    The percentile alone leaves it anywhere between a fifth and three quarters of the range (so one bright vessel
    decides how bright a tumor is), and a network from few cases then learns neither. One factor per case keeps tiled
    and whole-volume inference alike, and 0 the value that says "nothing here".
    """
    scale = np.zeros(len(image_czyx), np.float32)
    for channel, image in enumerate(image_czyx):
        counts = np.bincount(image.ravel(), minlength=256)
        counts[0] = 0
        if total := counts.sum():
            scale[channel] = TISSUE_LEVEL / int(np.searchsorted(counts.cumsum(), total / 2))
    return scale


def scaled(image: Any, percentile: float) -> Any:
    """(4, x, y, z): each modality's percentile is 255, in whole numbers."""
    image.set_array(torch.from_numpy(to_uint8(image.numpy(), percentile).astype(np.float32)))
    return image


def rounded(image: Any) -> Any:
    image.set_array(torch.round(image.as_tensor()))
    return image


def network_input(image: Any) -> Any:
    scale = torch.from_numpy(input_scale(image.numpy().astype(np.uint8)))
    image.set_array(image.as_tensor() * scale[:, None, None, None])
    return image
