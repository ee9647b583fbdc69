"""What leaves Slicer: labels as a file, and corrections for the training library."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.segments import MODEL, SCHEMA, label_array
from VoxMMSDLib.volumes import (
    Write,
    array_write,
    export_by_slicer,
    ijk_to_world,
    mask_write,
    refuse_bent,
    remove_whole,
    volume_write,
)
from VoxMMSDSegmentLib.case import CASE_ID
from VoxMMSDSegmentLib.result import BRAIN_MASK, PREDICTED_LABELS, REVIEW, input_of, reference_of, step_of


def save_labels(result: Any, file: Path) -> None:
    """Write label values on the reference's grid. The file's ending chooses the format.

    Raises:
        InputError: the reference is gone, the format is unknown, or the file cannot be written.
    """
    labels_write(result, file)()


def labels_write(result: Any, file: Path) -> Write:
    """What writes the labels as they are now as NIfTI; other formats are written at once, by Slicer."""
    reference = _reference(result)
    labels = label_array(result, reference)
    if file.name.endswith((".nii", ".nii.gz")):
        return array_write(labels, ijk_to_world(reference), file, result.GetName())
    labelmap = slicer.modules.volumes.logic().CreateAndAddLabelVolume(reference, "VoxMMSD temporary labels")
    labelmap.SetHideFromEditors(True)
    try:
        slicer.util.updateVolumeFromArray(labelmap, labels)
        export_by_slicer(labelmap, file, compressed=True)
    finally:
        remove_whole(labelmap)
    return lambda: None


def with_ending(file: Path) -> Path:
    """A file's name, ended as one for labels where it has no ending that Slicer knows."""
    return file if file.name.lower().endswith(ENDINGS) else file.with_name(f"{file.name}.nii.gz")


ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def _reference(result: Any) -> Any:
    reference = reference_of(result)
    if reference is None:
        raise InputError(
            _("{name}: the image it was made on is no longer in the scene").format(name=result.GetName()),
            _("load it again"),
        )
    refuse_bent(reference)
    return reference


def writes_for_library(result: Any, folder: Path) -> Generator[None, None, tuple[list[str], list[Write]]]:
    """Take a result out of the scene, one file a step: options of the core's ``library add``, and what writes the files
    that they name.

    The case goes as it was segmented: aligned where that was done, with the brain mask that was made. Nothing of names,
    tags or paths goes along.

    Raises:
        InputError: images are gone, or cannot be written.
    """
    schema, reference = result.GetAttribute(SCHEMA), _reference(result)
    options, writes = [], []
    for key in MODALITIES:
        node = step_of(result, key) or input_of(result, key)
        if node is not None:
            options += [f"--{key}", str(folder / f"{key}.nii")]
            writes.append(volume_write(node, folder / f"{key}.nii"))
            yield
    if not options:
        problem = _("{name}: its images are no longer in the scene").format(name=result.GetName())
        raise InputError(problem, _("load them"))
    if (mask := result.GetNodeReference(BRAIN_MASK)) is not None:
        options += ["--brain-mask", str(folder / "brain-mask.nii")]
        writes.append(mask_write(mask, reference, folder / "brain-mask.nii"))
        yield
    if (predicted := result.GetNodeReference(PREDICTED_LABELS)) is not None:
        writes.append(volume_write(predicted, folder / f"{CASE_ID}-voxmmsd.nii.gz"))
        review = json.loads(result.GetAttribute(REVIEW) or "[]")
        record = {"schema": schema, "model": {"id": result.GetAttribute(MODEL)}, "review": review}
        (folder / f"{CASE_ID}-voxmmsd.json").write_text(json.dumps(record), encoding="utf-8")
        options += ["--result", str(folder / f"{CASE_ID}-voxmmsd.json")]
        yield
    writes.append(labels_write(result, folder / "label.nii"))
    return [*options, "--label", str(folder / "label.nii"), "--schema", schema], writes
