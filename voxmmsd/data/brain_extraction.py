"""The brain in a head with its skull, by a small network that is part of the package (``data/brain``).

One image of any sequence is enough. The network sees the head at 2 mm; blocks of 2 x 2 x 2 voxels are its input
channels and its outputs, so that it computes at 4 mm. It learned from HD-BET (Isensee et al., Human Brain Mapping 40,
2019): see ``data/brain/MODEL_CARD.md`` and ``benchmarks/brain_extraction.py``. ONNX Runtime runs it, without torch.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage

from voxmmsd.concurrency import usable_cores
from voxmmsd.data.brain_mask import largest_piece
from voxmmsd.data.strippers import BRAIN_MODEL
from voxmmsd.data.volume import Volume, canonical, resample
from voxmmsd.errors import InputError, MissingDependencyError

SPACING_MM = 2.0
BLOCK = 2  # voxels of one input position, along each axis
DIVISOR = 16  # of the sides of what the network sees, in voxels
TISSUE_LEVEL = 0.5  # what the median of the bright half of the head becomes
BRIGHTEST = 2.0
MARGIN = 6  # voxels of air kept around the head
AIR = 0.15  # of the scaled intensity
MIN_BRAIN_ML = 200.0
MIN_PROBABILITY = 0.3  # a tumor that is cut away is worse than a rim of skull
CLOSING_MM = 4.0  # so wide are the notches that are closed: tumors at the surface


def extract_brain(head: Volume) -> np.ndarray:
    """Brain mask, bool ``(z, y, x)`` on the grid of a head: one piece without holes.

    ``head``: ``(z, y, x)``, or ``(channel, z, y, x)`` for several sequences of it that lie on each other. Then the mean
    of their probabilities decides, wherever the sequences were measured.

    Raises:
        InputError: no brain is found.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    channels = head.array.reshape(-1, *head.grid.shape_zyx)
    coarse = [_coarse(Volume(channel, head.grid)) for channel in channels if channel.any()]
    if not coarse:
        raise InputError("no brain was found: every voxel is 0", "give a mask with --brain-mask FILE")
    grid = coarse[0].grid
    box = _box(np.max([scaled_head(one.array) for one in coarse], axis=0) > AIR)
    total = weight = np.zeros(1, np.float32)
    for one in coarse:
        scaled = scaled_head(one.array)[box]
        # Where a sequence is 0 all around, it was not measured, or there is air.
        measured = (ndimage.uniform_filter((scaled > 0).astype(np.float32), 5) > 0.1).astype(np.float32)
        total = total + measured * brain_probability(scaled)
        weight = weight + measured
    inside = np.zeros(grid.shape_zyx, np.float32)
    inside[box] = _closed(largest_piece(total > MIN_PROBABILITY * np.maximum(weight, 1)))
    if inside.sum() * grid.voxel_volume_ml < MIN_BRAIN_ML:
        raise InputError("no brain was found in the image", "give a mask with --brain-mask FILE")
    # Linear between the 2 mm voxels, so that the outline on a finer grid is smooth.
    return resample(Volume(inside, grid), head.grid).array > 0.5


def _closed(mask_zyx: np.ndarray) -> np.ndarray:
    """The mask at 2 mm after a morphological closing by a ball, its holes filled."""
    radius = CLOSING_MM / SPACING_MM
    rim = int(np.ceil(radius)) + 1
    grown = ndimage.distance_transform_edt(~np.pad(mask_zyx, rim)) <= radius
    shrunk = ndimage.distance_transform_edt(grown) > radius
    return ndimage.binary_fill_holes(shrunk[rim:-rim, rim:-rim, rim:-rim] | mask_zyx)


def _coarse(head: Volume) -> Volume:
    """2 mm, axes in the order of RAS."""
    turned = canonical(Volume(head.array.astype(np.float32), head.grid))
    return resample(turned, turned.grid.with_spacing(SPACING_MM))


def scaled_head(array_zyx: np.ndarray) -> np.ndarray:
    """Intensities from 0 to ``BRIGHTEST``: the median of the voxels brighter than the mean of those above 0 is 0.5."""
    shifted = array_zyx - min(0.0, float(np.percentile(array_zyx, 0.1)))
    above = shifted[shifted > 0]
    tissue = above[above > above.mean()] if above.size else above
    level = float(np.median(tissue)) if tissue.size else 1.0
    return np.clip(shifted * (TISSUE_LEVEL / level), 0, BRIGHTEST).astype(np.float32)


def brain_probability(head_zyx: np.ndarray) -> np.ndarray:
    """Probability of brain, float32 ``(z, y, x)``, for each voxel of a head as ``scaled_head`` gives it.

    The mean over the head and its mirror image, left to right.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    shape = head_zyx.shape
    padded = np.pad(head_zyx, [(0, -n % DIVISOR) for n in shape])
    blocks = np.stack([in_blocks(padded), in_blocks(padded[:, :, ::-1])])
    (logits,) = _session().run(None, {"image": blocks})
    both = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    mean = (from_blocks(both[0]) + from_blocks(both[1])[:, :, ::-1]) / 2
    return mean[tuple(slice(0, n) for n in shape)]


@cache
def _session() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "brain extraction: needs ONNX Runtime, which is not installed", "install it with pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(BRAIN_MODEL), options, providers=["CPUExecutionProvider"])


def in_blocks(array_zyx: np.ndarray) -> np.ndarray:
    """``(z, y, x)`` as ``(8, z / 2, y / 2, x / 2)``: each block's voxels are channels."""
    z, y, x = (n // BLOCK for n in array_zyx.shape)
    blocks = array_zyx.reshape(z, BLOCK, y, BLOCK, x, BLOCK).transpose(1, 3, 5, 0, 2, 4)
    return np.ascontiguousarray(blocks.reshape(BLOCK**3, z, y, x), np.float32)


def from_blocks(array_czyx: np.ndarray) -> np.ndarray:
    """The inverse of ``in_blocks``."""
    z, y, x = array_czyx.shape[1:]
    blocks = array_czyx.reshape(BLOCK, BLOCK, BLOCK, z, y, x).transpose(3, 0, 4, 1, 5, 2)
    return np.ascontiguousarray(blocks.reshape(z * BLOCK, y * BLOCK, x * BLOCK))


def _box(tissue_zyx: np.ndarray) -> tuple[slice, slice, slice]:
    """The box of the planes with more than a few voxels of tissue, and a margin; everything if there is none."""
    box = []
    for axis, size in enumerate(tissue_zyx.shape):
        planes = np.flatnonzero(tissue_zyx.sum(axis=tuple(a for a in range(3) if a != axis)) > 20)
        first, last = (int(planes[0]), int(planes[-1])) if planes.size else (0, size - 1)
        box.append(slice(max(0, first - MARGIN), min(size, last + 1 + MARGIN)))
    return box[0], box[1], box[2]
