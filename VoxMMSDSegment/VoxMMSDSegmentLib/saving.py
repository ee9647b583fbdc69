"""What leaves Slicer: labels as a file, and corrections for the training library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.segments import MODEL, label_array, mask_of, schema_of
from VoxMMSDLib.volumes import core_volume
from VoxMMSDSegmentLib.result import BRAIN_MASK, PREDICTED_LABELS, REVIEW, input_of, reference_of


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
        slicer.mrmlScene.RemoveNode(labelmap)


def _reference(result: Any) -> Any:
    reference = reference_of(result)
    if reference is None:
        raise InputError(
            _("{name}: the image it was made on is no longer in the scene; load it again").format(name=result.GetName())
        )
    return reference


def _images(result: Any) -> tuple[dict[str, Any], Any]:
    """The images that a result was made of, by modality, and the brain mask or None."""
    from voxmmsd.data.volume import Volume

    nodes = {key: node for key in MODALITIES if (node := input_of(result, key)) is not None}
    if not nodes:
        raise InputError(_("{name}: its images are no longer in the scene; load them").format(name=result.GetName()))
    mask = result.GetNodeReference(BRAIN_MASK)
    if mask is None:
        return {key: core_volume(node) for key, node in nodes.items()}, None
    if mask.IsA("vtkMRMLSegmentationNode"):
        reference = _reference(result)
        inside = mask_of(mask, mask.GetSegmentation().GetSegmentIDs(), reference)
        return {key: core_volume(node) for key, node in nodes.items()}, Volume(inside, core_volume(reference).grid)
    return {key: core_volume(node) for key, node in nodes.items()}, core_volume(mask)


def accept_into_library(result: Any, folder: Path, case_id: str, patient: str) -> Any:
    """Images, the model's prediction and the corrected labels; nothing of names, tags or paths goes along."""
    import json

    from voxmmsd.data.volume import Volume
    from voxmmsd.labels import indices_from_values
    from voxmmsd.library import create_library, is_library, open_library

    reference, schema, model = _reference(result), schema_of(result), result.GetAttribute(MODEL)
    images, mask = _images(result)
    library = open_library(folder) if is_library(folder) else create_library(folder)
    case = library.add_case(case_id, images, patient=patient, brain_mask=mask)
    grid = core_volume(reference).grid
    predicted = result.GetNodeReference(PREDICTED_LABELS)
    if predicted is not None and (case.prediction is None or case.prediction.model != model):
        before = indices_from_values(slicer.util.arrayFromVolume(predicted), schema, "prediction")
        review = json.loads(result.GetAttribute(REVIEW) or "[]")
        library.add_prediction(case_id, Volume(before, grid), schema.name, model, review)
    label = indices_from_values(label_array(result, reference), schema, result.GetName())
    return library.accept(case_id, Volume(label, grid), schema.name, drawn_over=[model])
