"""A label on its way into the library: does it fit its case, and under which number does it go."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxmmsd.data.volume import Volume, resample, resampling_is_exact
from voxmmsd.errors import LibraryError
from voxmmsd.labels import schema_named
from voxmmsd.library.records import LibraryCase


def on_grid_of_case(case: LibraryCase, label: Volume, schema: str) -> Volume:
    """Class indices uint8 on the grid of one of the case's images; the same voxels in another order of axes are turned.

    Raises:
        LibraryError: the label lies on another grid, or holds what no class of ``schema`` is.
        ConfigError: no such schema.
    """
    indices = np.asarray(label.array)
    most = schema_named(schema).class_count - 1
    if indices.dtype.kind not in "iub" or not 0 <= int(indices.min()) <= int(indices.max()) <= most:
        raise LibraryError(
            f"case {case.id}: the label holds other values than the class indices 0 to {most} of schema {schema}",
            "give the label map of that schema, or name the schema it follows",
        )
    indices = indices.astype(np.uint8)
    for grid in case.entry.grids.values():
        if label.grid.same_as(grid):
            return Volume(indices, grid)
        if sorted(label.grid.shape_zyx) == sorted(grid.shape_zyx) and resampling_is_exact(label.grid, grid):
            return resample(Volume(indices, label.grid), grid, order=0)
    raise LibraryError(
        f"case {case.id}: the label's grid {label.grid.shape_zyx} is that of none of its images",
        f"export the label on the grid of one of {', '.join(case.modalities)}",
    )


def reserved(folder: Path, kind: str) -> tuple[int, Path]:
    """The next free number, and its label's file, empty: nobody else can have it, with or without locks."""
    folder.mkdir(exist_ok=True)
    number = max((int(file.name[:4]) for file in folder.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
    while True:
        number += 1
        try:
            (folder / f"{number:04d}-{kind}.nii.gz").open("xb").close()
        except FileExistsError:
            continue
        return number, folder / f"{number:04d}-{kind}.nii.gz"
