"""Label maps as class indices: read from a file, put on another grid, measured."""

from __future__ import annotations

import numpy as np

from voxmmsd.data.formats.image import Image
from voxmmsd.data.formats.sources import Source, frame_of, read_image
from voxmmsd.data.grid import Grid
from voxmmsd.data.volume import Volume, resample, resampling_is_exact
from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema, indices_from_values, whole_numbers


def read_label(source: Source, schema: LabelSchema) -> Volume:
    """Class indices of ``schema``, uint8, on the grid of the file.

    Raises:
        InputError: it cannot be read, or holds values that the schema does not have.
    """
    volume = read_values(source)
    return Volume(indices_from_values(volume.array, schema, str(source.path)), volume.grid)


def read_values(source: Source) -> Volume:
    """The values of a label map as its file has them.

    Raises:
        InputError: it cannot be read, or it is not a label map: several volumes (one-hot), 0 and 255 (a mask for a
            picture), fractional values.
    """
    return values_of(read_image(source), source)


def values_of(image: Image, source: Source) -> Volume:
    """As ``read_values``, of an image that was read."""
    if source.channel is None and len(image.frames_tzyx) > 1:
        raise InputError(
            f"{source.path}: holds {len(image.frames_tzyx)} volumes, one per label perhaps, where one map of labels is "
            "expected",
            "give one 3-D file in which each voxel has the value of its label",
        )
    volume = frame_of(image, source)
    _refuse_no_labels(volume.array, str(source.path))
    return volume


def _refuse_no_labels(values_zyx: np.ndarray, where: str) -> None:
    """Raise InputError for 0 and 255, and for fractional values: whatever the schema, they are no labels."""
    if values_zyx.max(initial=0) == 255 and not ((values_zyx != 0) & (values_zyx != 255)).any():
        raise InputError(
            f"{where}: holds 0 and 255 alone: a mask as pictures have it, not labels",
            "write 1 in place of 255, and name the schema (--schema whole-tumor)",
        )
    if not np.issubdtype(values_zyx.dtype, np.integer):
        whole_numbers(values_zyx, where)


def on_same_voxels(volume: Volume, grid: Grid) -> Volume | None:
    """The volume on ``grid`` if that has the same voxels, in whatever order of axes; else None."""
    if volume.grid.same_as(grid):
        return Volume(volume.array, grid)
    if sorted(volume.grid.shape_zyx) == sorted(grid.shape_zyx) and resampling_is_exact(volume.grid, grid):
        return resample(volume, grid, order=0)
    return None


def volumes_ml(label_zyx: np.ndarray, schema: LabelSchema, grid: Grid) -> dict[str, float]:
    """Volume in ml of each label and region, by key."""
    labeled = label_zyx[label_zyx > 0]  # few: counting all voxels takes eight bytes for each
    counts = np.bincount(labeled, minlength=schema.class_count) * grid.voxel_volume_ml
    by_label = {label.key: float(counts[index]) for index, label in enumerate(schema.labels, start=1)}
    by_region = {region.key: float(counts[list(schema.region_indices(region))].sum()) for region in schema.regions}
    return {**by_label, **by_region}
