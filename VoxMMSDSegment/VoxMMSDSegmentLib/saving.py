"""What leaves Slicer: labels as a file, and corrections for the training library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.segments import MODEL, SCHEMA, label_array
from VoxMMSDLib.volumes import export_mask, export_volume, refuse_bent, remove_whole
from VoxMMSDSegmentLib.case import CASE_ID
from VoxMMSDSegmentLib.result import BRAIN_MASK, PREDICTED_LABELS, REVIEW, input_of, reference_of, step_of


def save_labels(result: Any, file: Path) -> None:
    """Write label values on the reference's grid. The file's ending chooses the format."""
    reference = _reference(result)
    labelmap = slicer.modules.volumes.logic().CreateAndAddLabelVolume(reference, "VoxMMSD temporary labels")
    labelmap.SetHideFromEditors(True)
    try:
        slicer.util.updateVolumeFromArray(labelmap, label_array(result, reference))
        if not slicer.util.exportNode(labelmap, str(file), {"useCompression": 1}, world=True):
            raise InputError(_("{file}: cannot be written; choose another folder").format(file=file))
    finally:
        remove_whole(labelmap)


def _reference(result: Any) -> Any:
    reference = reference_of(result)
    if reference is None:
        raise InputError(
            _("{name}: the image it was made on is no longer in the scene; load it again").format(name=result.GetName())
        )
    refuse_bent(reference)
    return reference


def write_for_library(result: Any, folder: Path) -> list[str]:
    """Write a result for the core's ``library add``; its options.

    The case goes as it was segmented: aligned where that was done, with the brain mask that was made. Nothing of names,
    tags or paths goes along.

    Raises:
        InputError: images are gone, or cannot be written.
    """
    schema, reference = result.GetAttribute(SCHEMA), _reference(result)
    options = []
    for key in MODALITIES:
        node = step_of(result, key) or input_of(result, key)
        if node is not None:
            options += [f"--{key}", str(export_volume(node, folder / f"{key}.nii"))]
    if not options:
        raise InputError(_("{name}: its images are no longer in the scene; load them").format(name=result.GetName()))
    if (mask := result.GetNodeReference(BRAIN_MASK)) is not None:
        options += ["--brain-mask", str(export_mask(mask, reference, folder / "brain-mask.nii"))]
    predicted = result.GetNodeReference(PREDICTED_LABELS)
    if predicted is not None:
        export_volume(predicted, folder / f"{CASE_ID}-voxmmsd.nii.gz")
        review = json.loads(result.GetAttribute(REVIEW) or "[]")
        record = {"schema": schema, "model": {"id": result.GetAttribute(MODEL)}, "review": review}
        (folder / f"{CASE_ID}-voxmmsd.json").write_text(json.dumps(record), encoding="utf-8")
        options += ["--result", str(folder / f"{CASE_ID}-voxmmsd.json")]
    save_labels(result, folder / "label.nii")
    return [*options, "--label", str(folder / "label.nii"), "--schema", schema]
