"""Check that a new label fits its case, and reserve its number in the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxmmsd.data.label_maps import on_same_voxels
from voxmmsd.data.volume import Volume
from voxmmsd.errors import LibraryError
from voxmmsd.labels import schema_named
from voxmmsd.library.records import LibraryCase

ORIGINS = ("predicted", "edited", "carried")  # by value, as in the file that refine writes


def on_grid_of_case(case: LibraryCase, label: Volume, schema: str) -> Volume:
    """Class indices uint8 on the grid of one of the images of the case; axes are reordered if needed.

    Raises:
        LibraryError: the label has another grid, or values that are not classes of ``schema``.
        ConfigError: no such schema.
    """
    indices = np.asarray(label.array)
    most = schema_named(schema).class_count - 1
    if indices.dtype.kind not in "iub" or not 0 <= int(indices.min()) <= int(indices.max()) <= most:
        raise LibraryError(
            f"case {case.id}: the label holds other values than the class indices 0 to {most} of schema {schema}",
            "give the label map of that schema, or name the schema it follows",
        )
    found = _on_grid_of_image(case, Volume(indices.astype(np.uint8), label.grid))
    if found is not None:
        return found
    raise LibraryError(
        f"case {case.id}: the label's grid {label.grid.shape_zyx} matches none of its images",
        f"export the label on the grid of one of {', '.join(case.modalities)}",
    )


def origins_on(label: Volume, case: LibraryCase, origins: Volume) -> Volume:
    """Who decided each voxel, uint8 on the grid of a label that ``on_grid_of_case`` gave.

    Raises:
        LibraryError: another grid than the label's, or other values than 0, 1 and 2.
    """
    known = np.isin(origins.array, range(len(ORIGINS))).all()
    found = _on_grid_of_image(case, Volume(origins.array.astype(np.uint8), origins.grid)) if known else None
    if found is None or not found.grid.same_as(label.grid):
        raise LibraryError(
            f"case {case.id}: the origin map is not a map of 0, 1 and 2 on the label's grid",
            "give the map that refine wrote beside these labels, or leave it out",
        )
    return found


def voxel_counts(origins: Volume) -> dict[str, int]:
    """Voxels by who decided them."""
    return {name: int((origins.array == value).sum()) for value, name in enumerate(ORIGINS)}


def _on_grid_of_image(case: LibraryCase, volume: Volume) -> Volume | None:
    """The same voxels on the grid of one of the images of the case; None where they lie on none of them."""
    for grid in case.entry.grids.values():
        if (found := on_same_voxels(volume, grid)) is not None:
            return found
    return None


def reserved(folder: Path, kind: str) -> tuple[int, Path]:
    """Reserve the next free number by creating its empty label file, which is exclusive with or without locks."""
    folder.mkdir(exist_ok=True)
    number = max((int(file.name[:4]) for file in folder.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
    while True:
        number += 1
        try:
            (folder / f"{number:04d}-{kind}.nii.gz").open("xb").close()
        except FileExistsError:
            continue
        return number, folder / f"{number:04d}-{kind}.nii.gz"
