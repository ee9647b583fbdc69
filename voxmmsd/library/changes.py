"""Changes made by a correction, tissue by tissue."""

from __future__ import annotations

import numpy as np

from voxmmsd.data.volume import Volume, resample
from voxmmsd.labels import LabelSchema, index_of_tissue
from voxmmsd.library.records import Change


def changed_voxels(
    before: Volume, before_schema: LabelSchema, after: Volume, after_schema: LabelSchema
) -> dict[str, Change]:
    """Voxels added and removed, by label key; both maps are class indices ``(z, y, x)`` of their schemas.

    Counted on the grid of ``after``. Tissues that either schema lacks count from or to nothing.
    """
    old = before.array if before.grid.same_as(after.grid) else resample(before, after.grid, order=0).array
    changes = {}
    for index, label in enumerate(after_schema.labels, start=1):
        there = index_of_tissue(label, before_schema)
        changes[label.key] = _change(old == there if there else np.zeros_like(old, bool), after.array == index)
    for index, label in enumerate(before_schema.labels, start=1):
        if index_of_tissue(label, after_schema) is None:
            changes[label.key] = _change(old == index, np.zeros_like(old, bool))
    return changes


def _change(old: np.ndarray, new: np.ndarray) -> Change:
    return Change(added=int((new & ~old).sum()), removed=int((old & ~new).sum()))
