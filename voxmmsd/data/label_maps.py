"""Label maps as class indices: read from a file, put on another grid, measured."""

from __future__ import annotations

import numpy as np

from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.grid import Grid
from voxmmsd.data.volume import Volume, resample, resampling_is_exact
from voxmmsd.labels import LabelSchema, indices_from_values


def read_label(source: Source, schema: LabelSchema) -> Volume:
    """Class indices of ``schema``, uint8, on the grid of the file.

    Raises:
        InputError: it cannot be read, or holds values that the schema does not have.
    """
    volume = read_volume(source)
    return Volume(indices_from_values(volume.array, schema, str(source.path)), volume.grid)


def on_same_voxels(volume: Volume, grid: Grid) -> Volume | None:
    """The volume on ``grid`` if that has the same voxels, in whatever order of axes; else None."""
    if volume.grid.same_as(grid):
        return Volume(volume.array, grid)
    if sorted(volume.grid.shape_zyx) == sorted(grid.shape_zyx) and resampling_is_exact(volume.grid, grid):
        return resample(volume, grid, order=0)
    return None


def volumes_ml(label_zyx: np.ndarray, schema: LabelSchema, grid: Grid) -> dict[str, float]:
    """Volume in ml of each label and region, by key."""
    counts = np.bincount(label_zyx.ravel(), minlength=schema.class_count) * grid.voxel_volume_ml
    by_label = {label.key: float(counts[index]) for index, label in enumerate(schema.labels, start=1)}
    by_region = {region.key: float(counts[list(schema.region_indices(region))].sum()) for region in schema.regions}
    return {**by_label, **by_region}
