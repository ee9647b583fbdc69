"""Features drawn by hand: one channel of the finest level says what a voxel is, and the network's logits are wrong."""

import numpy as np

from voxmmsd.data.volume import Grid
from voxmmsd.labels import schema_named
from voxmmsd.refine import CaseFeatures

SCHEMA = schema_named("brats-gli-2023")
NCR, ED, ET = 1, 2, 3
SIDE = 32


def grid(side=SIDE, spacing=1.0):
    return Grid((side,) * 3, np.diag([spacing, spacing, spacing, 1.0]))


def ball(center_zyx, radius, side=SIDE):
    apart = np.indices((side,) * 3) - np.array(center_zyx)[:, None, None, None]
    return (apart**2).sum(axis=0) <= radius**2


def features(tissue_zyx, said_zyx, surety=3.0, side=SIDE, spacing=1.0):
    """``tissue_zyx``: what a voxel looks like, one feature channel per value; ``said_zyx``: what the network says."""
    generator = np.random.default_rng(1)
    finest = np.stack([tissue_zyx == value for value in range(4)]).astype(np.float16)
    coarse = generator.normal(size=(2, side // 2, side // 2, side // 2)).astype(np.float16)
    logits = np.zeros((SCHEMA.class_count, side, side, side), np.float16)
    np.put_along_axis(logits, said_zyx[None].astype(int), surety, 0)
    image = np.full((4, side, side, side), 100, np.uint8)
    return CaseFeatures(grid(side, spacing), image, np.full(4, 0.005, np.float32), logits, (finest, coarse), "model")
