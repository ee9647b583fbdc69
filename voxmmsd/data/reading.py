"""Read a case: all its images on one grid, everything checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxmmsd.data.case import Case
from voxmmsd.data.image import Image
from voxmmsd.data.sources import Source, frame_of, read_image
from voxmmsd.data.volume import Grid, Volume, canonical, resample
from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, SCHEMAS, LabelSchema, indices_from_values, schema_named


@dataclass(frozen=True)
class CaseVolumes:
    """A case as read: everything on the grid of the modality ``reference``.

    ``image``: ``(4, z, y, x)`` float32 in MODALITIES order, an absent modality all 0. ``label_zyx``: class indices,
    uint8. ``brain_mask_zyx``: bool. ``notes``: what had to be resampled or was doubtful, in words.
    """

    case: Case
    image: Volume
    present: tuple[bool, bool, bool, bool]
    reference: str
    label_zyx: np.ndarray | None
    brain_mask_zyx: np.ndarray | None
    schema: LabelSchema | None
    notes: tuple[str, ...]


def read_case(case: Case, reference: str | None = None, with_label: bool = True) -> CaseVolumes:
    """All images of a case on one modality's grid: ``reference``, else t1c, else the finest.

    Modalities and brain mask on other grids are resampled in world space (linear; nearest for masks and labels).

    Raises:
        InputError: no modality, an absent reference, an image that cannot be read, is all 0 or lies elsewhere, a label
            without a schema, on a grid that is none of the inputs', or with values its schema does not have.
        MissingDependencyError: a format needs SimpleITK, which is not installed.
    """
    _check_request(case, reference)
    reader = _Reader()
    volumes = {name: _modality(reader, name, case.modalities[name]) for name in MODALITIES if name in case.modalities}
    chosen = reference or ("t1c" if "t1c" in volumes else min(volumes, key=lambda n: volumes[n].grid.voxel_volume_ml))
    grids = {name: volume.grid for name, volume in volumes.items()}
    grid = grids[chosen]
    image = np.zeros((len(MODALITIES), *grid.shape_zyx), np.float32)
    for name in list(volumes):
        moved, note = _on_reference(volumes.pop(name), name, case.modalities[name].path, grid)
        image[MODALITIES.index(name)] = moved
        reader.notes += [f"{note} of {chosen}"] if note else []
    schema = schema_named(case.schema) if case.schema else None
    label = _label(case, schema, grids, chosen, reader) if with_label and case.label else None
    mask = _brain_mask(case.brain_mask, chosen, grid, reader) if case.brain_mask else None
    present = tuple(name in grids for name in MODALITIES)
    return CaseVolumes(case, Volume(image, grid), present, chosen, label, mask, schema, tuple(reader.notes))  # type: ignore[arg-type]


def _check_request(case: Case, reference: str | None) -> None:
    if not case.modalities:
        raise InputError(f"case {case.id}: has no modality; give at least one of {', '.join(MODALITIES)}")
    if reference and reference not in case.modalities:
        raise InputError(
            f"case {case.id}: has no {reference} to be the reference; choose one of {', '.join(case.modalities)}"
        )


class _Reader:
    """Reads each file once, a 4-D file's frames too, and gathers notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._last: tuple[tuple[Path, str | None], Image] | None = None

    def read(self, source: Source, name: str) -> Volume:
        key = (source.path, source.series_uid)
        if self._last is None or self._last[0] != key:
            self._last = None
            image = read_image(source)
            self.notes += [f"{name}: {note}" for note in image.notes]
            self._last = (key, image) if len(image.frames_tzyx) > 1 else None
        else:
            image = self._last[1]
        return frame_of(image, source)


def _modality(reader: _Reader, name: str, source: Source) -> Volume:
    volume = reader.read(source, name)
    if not volume.array.any():
        raise InputError(f"{source.path}: every voxel of {name} is 0; leave this modality out or give the right file")
    return volume


def _on_reference(volume: Volume, name: str, path: Path, grid: Grid) -> tuple[np.ndarray, str]:
    """The voxels on ``grid``, and what was done to them in words, if anything."""
    if volume.grid.same_as(grid):
        return volume.array, ""
    moved = resample(volume, grid).array
    if not moved.any():
        raise InputError(
            f"{path}: {name} lies elsewhere in space than the case's other images: they do not overlap; "
            "register them first (--align) or leave it out"
        )
    return moved, f"{name} resampled from {_spacing(volume.grid)} to the grid"


def _label(
    case: Case, schema: LabelSchema | None, grids: Mapping[str, Grid], reference: str, reader: _Reader
) -> np.ndarray:
    assert case.label is not None
    path = case.label.path
    if schema is None:
        raise InputError(
            f"{path}: which label schema it follows cannot be told; name it with --schema ({', '.join(SCHEMAS)})"
        )
    volume = reader.read(case.label, "label")
    drawn_on = next((n for n in (reference, *grids) if _same_voxels(volume.grid, grids[n])), None)
    if drawn_on is None:
        raise InputError(
            f"{path}: the label's grid ({_spacing(volume.grid)}) is that of none of the case's images "
            f"({', '.join(grids)}); give the image it was drawn on"
        )
    indices = Volume(indices_from_values(volume.array, schema, str(path)), volume.grid)
    if not volume.grid.same_as(grids[reference]):
        indices = resample(indices, grids[reference], order=0)
    if drawn_on != reference:
        reader.notes.append(f"label brought from the grid of {drawn_on} to that of {reference} (nearest neighbor)")
    return indices.array


def _same_voxels(first: Grid, second: Grid) -> bool:
    """Whether both grids have the same voxels, in whatever order of axes."""
    return first.same_as(second) or _canonical(first).same_as(_canonical(second))


def _canonical(grid: Grid) -> Grid:
    return canonical(Volume(np.broadcast_to(np.uint8(0), grid.shape_zyx), grid)).grid


def _brain_mask(source: Source, reference: str, grid: Grid, reader: _Reader) -> np.ndarray:
    volume = reader.read(source, "brain mask")
    inside = Volume(volume.array > 0, volume.grid)
    if not inside.array.any():
        raise InputError(f"{source.path}: the brain mask is empty; give the right one or leave it out")
    if inside.grid.same_as(grid):
        return inside.array
    moved = resample(inside, grid, order=0).array
    if not moved.any():
        raise InputError(f"{source.path}: the brain mask lies elsewhere in space than {reference}; give one that fits")
    reader.notes.append(
        f"brain mask brought from {_spacing(volume.grid)} to the grid of {reference} (nearest neighbor)"
    )
    return moved


def _spacing(grid: Grid) -> str:
    return " x ".join(f"{mm:.3g}" for mm in grid.spacing_mm_zyx[::-1]) + " mm"
