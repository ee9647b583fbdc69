"""Visits on each other as NIfTI: of each an image and its labels, placed in the first visit's world."""

from __future__ import annotations

from pathlib import Path

from voxmmsd.data.finding.walk import VISIT
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.labels import values_from_indices
from voxmmsd.reporting.follow_up import FollowUp, common_modality


def image_file(folder: Path, visit: int, modality: str) -> Path:
    """``visit``: counted from 0."""
    return folder / f"{VISIT}{visit + 1}-{modality}.nii.gz"


def labels_file(folder: Path, visit: int) -> Path:
    return folder / f"{VISIT}{visit + 1}-labels.nii.gz"


def write_registered(found: FollowUp, folder: Path) -> list[Path]:
    """Write the image that the visits were registered by, and the labels in the schema's values.

    Voxels are those of each visit; only where they lie is another: nothing is resampled.
    """
    name = common_modality(found)
    written = []
    for number, visit in enumerate(found.visits):
        image, labels = image_file(folder, number, name), labels_file(folder, number)
        write_nifti(image, visit.shown.images[name], visit.grid)
        write_nifti(labels, values_from_indices(visit.shown.label_zyx, visit.shown.schema), visit.grid)
        written += [image, labels]
    return written
