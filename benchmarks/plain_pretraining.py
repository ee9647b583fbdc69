"""A plain implementation of docs/method.md, the peer of ``benchmarks/pretrain.py``: correct, not optimized for speed.

Views are made sample by sample in numpy; places of pairs are found by listing every non-zero voxel of the whole scan,
once per view; the teacher runs with autograd and its result is detached.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from voxmmsd.losses.restoration import restoration_loss
from voxmmsd.losses.self_distillation import distillation_loss, mean_embedding, moved_center
from voxmmsd.networks.voxel_features import voxel_features
from voxmmsd.pretext.vox_mmsd import VoxMMSD
from voxmmsd.training_config import PretrainConfig


def plain_sample(scan_czyx: np.ndarray, size: int, cell: int, share: float, count: int, rng: np.random.Generator):
    """Two views, two targets, and the places of ``count`` pairs in each block, of one uint8 scan."""
    last = np.maximum(np.array(scan_czyx.shape[1:]) - size, 0)
    while True:
        corners = rng.integers(0, last + 1, (2, 3))
        if np.prod(np.maximum(size - np.abs(corners[0] - corners[1]), 0)) >= size**3 / 4:
            break
    views, targets, masks, listed = [], [], [], []
    for corner in corners:
        z, y, x = corner
        block = scan_czyx[:, z : z + size, y : y + size, x : x + size].astype(np.float32)
        for channel in block:
            span = channel.max() - channel.min()
            channel[:] = (channel - channel.min()) / span if span else 0
        mask = np.zeros_like(block, bool)
        for channel in range(4):
            for cz in range(0, size, cell):
                for cy in range(0, size, cell):
                    for cx in range(0, size, cell):
                        mask[channel, cz : cz + cell, cy : cy + cell, cx : cx + cell] = rng.random() >= share
        views.append(_disturbed(block * mask, rng) * mask)
        targets.append(block)
        masks.append(mask)
        listed.append(np.argwhere(scan_czyx > 0))
    low, high = corners.max(axis=0), corners.min(axis=0) + size
    inside = [voxels[((voxels[:, 1:] >= low) & (voxels[:, 1:] < high)).all(axis=1)] for voxels in listed]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    while len(pairs) < count:
        place = inside[0][rng.integers(len(inside[0]), size=4096), 1:]
        drawn = rng.integers(0, 4, (2, len(place)))
        first, second = place - corners[0], place - corners[1]
        seen = masks[0][drawn[0], *first.T] & masks[1][drawn[1], *second.T]
        seen &= (scan_czyx[drawn[0], *place.T] > 0) & (scan_czyx[drawn[1], *place.T] > 0)
        pairs += list(zip(first[seen], second[seen], strict=True))
    places = np.array(pairs[:count])
    return np.stack(views), np.stack(targets), places[:, 0], places[:, 1]


def _disturbed(block: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    block = block + rng.normal(0, 0.05, block.shape).astype(np.float32)
    if rng.random() < 0.8:
        for channel in block:
            if rng.random() < 0.5:
                channel[:] = gaussian_filter(channel, rng.uniform(0.1, 2), mode="nearest")
    if rng.random() < 0.85:
        block = block * rng.uniform(0.75, 1.25, (4, 1, 1, 1)).astype(np.float32)
    if rng.random() < 0.5:
        block = block + (rng.uniform(0, 0.4, (4, 1, 1, 1)) * (rng.random((4, 1, 1, 1)) < 0.8)).astype(np.float32)
    if rng.random() < 0.5:
        mean = block.mean(axis=(1, 2, 3), keepdims=True)
        block = (block - mean) * rng.uniform(0.75, 1.25, (4, 1, 1, 1)).astype(np.float32) + mean
    if rng.random() < 0.8:
        low = block.min(axis=(1, 2, 3), keepdims=True)
        span = block.max(axis=(1, 2, 3), keepdims=True) - low + 1e-6
        block = ((block - low) / span) ** rng.uniform(0.7, 1.5, (4, 1, 1, 1)).astype(np.float32) * span + low
    return block


def plain_batch(scans: list[np.ndarray], config: PretrainConfig, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Views and targets ``(2B, 4, s, s, s)`` and places ``(2B, count, 3)``, view 1 of all cases first."""
    samples = [
        plain_sample(scan, config.block, config.mask_size, config.mask_ratio, config.pairs, rng) for scan in scans
    ]
    views, targets = (
        torch.from_numpy(np.concatenate([np.stack([s[k][v] for s in samples]) for v in range(2)])) for k in (0, 1)
    )
    places = torch.from_numpy(np.concatenate([np.stack([s[2 + v] for s in samples]) for v in range(2)]))
    return views, targets, places


def plain_step(method: VoxMMSD, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, ...]) -> float:
    """One step of the same networks, in torch's default memory format; the teacher with autograd."""
    views, targets, places = batch
    pyramid = method.unet(views)
    teacher_unet, teacher_projector = method.teacher.networks
    teacher_pyramid = teacher_unet(views)
    student = method.projector(voxel_features(pyramid, places).flatten(0, 1)).unflatten(0, (2, -1))
    teacher = teacher_projector(voxel_features(teacher_pyramid, places).flatten(0, 1)).unflatten(0, (2, -1)).detach()
    loss = restoration_loss(method.restorer(pyramid[0]), targets) + distillation_loss(
        student, teacher, method.center, 0.04
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        method.center.copy_(moved_center(method.center, mean_embedding(teacher)))
        for own, theirs in zip(
            method.teacher.parameters(), [*method.unet.parameters(), *method.projector.parameters()], strict=True
        ):
            own.data = 0.996 * own.data + 0.004 * theirs.data
    return loss.item()
