"""A result as it is shown: its labels, its images and its lesions on one grid in RAS order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.volume import Grid, Volume, canonical, resample
from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema
from voxmmsd.measuring.lesions import Lesions, find_lesions, has_structure
from voxmmsd.records.result import ResultRecord, read_result_record
from voxmmsd.refine.config import RefineConfig
from voxmmsd.refine.record import Edited, find_images, read_edits, read_result, record_file


@dataclass(frozen=True)
class ShownCase:
    """``label_zyx``: class indices; ``images``: modality -> ``(z, y, x)`` float32; all on ``grid``, closest to RAS.

    ``lesions``: of ``ET`` and ``WT``, as far as the schema has them. ``edited_voxels``: that a person changed, None
    where nobody did. ``rounds``: how often ``refine`` carried corrections through it.
    """

    case_id: str
    schema: LabelSchema
    label_zyx: np.ndarray
    images: Mapping[str, np.ndarray]
    grid: Grid
    lesions: Mapping[str, Lesions]
    record: ResultRecord
    edited_voxels: int | None = None
    rounds: int = 0

    @property
    def volumes_ml(self) -> dict[str, float]:
        return volumes_ml(self.label_zyx, self.schema, self.grid)


@dataclass(frozen=True)
class FoundResult:
    """A result, where its images are, and its record in two forms."""

    result: Edited
    case: Case
    record: ResultRecord = field(repr=False)


def find_result(file: Path, images: str = "") -> FoundResult:
    """A result of ``segment`` or ``refine`` and the images that it is of; ``images``: their folder, if they were moved.

    Raises:
        InputError: no result, or images that are gone or have changed.
    """
    result = read_result(file)
    case, _ = find_images(result, RefineConfig(result=str(file), case=images))
    return FoundResult(result, case, read_result_record(record_file(file)))


def shown_case(found: FoundResult, edited: str = "") -> ShownCase:
    """Read labels and images. ``edited``: a file of labels that a person corrected, in place of the result's.

    Raises:
        InputError: an image or labels that cannot be read, or labels that do not fit the result.
    """
    result, label = found.result, found.result.label
    changed = None
    if edited:
        corrected = read_edits(Path(edited), result)
        changed = int((corrected != label.array).sum())
        label = Volume(corrected, label.grid)
    images = {
        name: canonical(resample(_moved(read_volume(source), name, found.record), label.grid)).array.astype(np.float32)
        for name, source in found.case.modalities.items()
        if name in found.record.inputs
    }
    return make_shown(result.case_id, result.schema, label, images, found.record, changed, result.round)


def make_shown(
    case_id: str,
    schema: LabelSchema,
    label: Volume,
    images: Mapping[str, np.ndarray],
    record: ResultRecord,
    edited_voxels: int | None = None,
    rounds: int = 0,
) -> ShownCase:
    """``label``: class indices on any grid; ``images``: on the same grid in RAS order."""
    turned = canonical(label)
    lesions = {
        key: find_lesions(turned.array, schema, turned.grid, key) for key in ("ET", "WT") if has_structure(schema, key)
    }
    return ShownCase(case_id, schema, turned.array, images, turned.grid, lesions, record, edited_voxels, rounds)


def _moved(volume: Volume, modality: str, record: ResultRecord) -> Volume:
    """Where ``--align`` put it."""
    for alignment in record.alignment:
        if alignment["modality"] == modality and alignment["accepted"]:
            correction = np.asarray(alignment["correction"], float).reshape(4, 4)
            return Volume(volume.array, Grid(volume.grid.shape_zyx, correction @ volume.grid.affine_xyz))
    return volume


def modalities_to_show(images: Mapping[str, Any], most: int = 2) -> tuple[str, ...]:
    """Contrast-enhanced T1 and FLAIR; where one is missing, the next best.

    Raises:
        InputError: there is no image.
    """
    order = ("t1c", "t2f", "t2w", "t1n")
    chosen = [name for name in order if name in images][:most]
    if not chosen:
        raise InputError("there is not an image to show", "give the folder of the images with --case")
    return tuple(sorted(chosen, key=order.index))
