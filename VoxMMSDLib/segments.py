"""Segments and label values: made with names, colors and codes, read back by segment id, whatever is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import slicer
import vtk

from voxmmsd.labels import LabelSchema, Terminology, indices_from_masks, schema_named, values_from_indices

if TYPE_CHECKING:
    import numpy as np

SCHEMA, MODEL = "VoxMMSD.Schema", "VoxMMSD.Model"  # attributes of a result
VALUE = "VoxMMSD.LabelValue"  # tag of a segment: the value of its label in files
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_REGION = "SCT^12738006^Brain"
TERMS = "Vox-MMSD brain tumor"  # the list of terms that VoxMMSDSegment ships
_REGIONS = "Anatomic codes - DICOM master list"


def terminology_entry(term: Terminology) -> str:
    """As Slicer keeps it in a segment's tag: list, category, type, modifier, region's list, region, modifier."""
    kind = f"{term.scheme}^{term.code}^{term.meaning}"
    return "~".join((TERMS, _CATEGORY, kind, "^^", _REGIONS, _REGION, "^^"))


def add_segment(segmentation, key: str, name: str, color: Iterable[int], term: Terminology) -> None:
    """Add an empty segment with the id ``key``; ``color`` in 0 to 255."""
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor(*(value / 255 for value in color))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_entry(term))
    segmentation.AddSegment(segment, key)


def value_of(segment) -> int | None:
    """The label value of a segment; None for one that the user added."""
    found = vtk.reference("")
    if not segment.GetTag(VALUE, found):
        return None
    return int(str(found))


def schema_of(node) -> LabelSchema:
    """The label schema of a result."""
    return schema_named(node.GetAttribute(SCHEMA))


def is_result(node) -> bool:
    return node is not None and bool(node.GetAttribute(SCHEMA))


def mask_of(node, segment_ids: Iterable[str], reference) -> np.ndarray:
    """Bool ``(z, y, x)`` on the grid of the volume ``reference``: where any of the segments is, hidden or not."""
    import numpy as np

    make = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode
    image = make(reference, node.GetParentTransformNode())
    image.UnRegister(None)
    shape = slicer.util.arrayFromVolume(reference).shape
    inside = np.zeros(shape, bool)
    for segment_id in segment_ids:
        inside |= _one(node, segment_id, image, shape)
    return inside


def label_array(node, reference) -> np.ndarray:
    """The schema's values, uint8 ``(z, y, x)``, on the grid of ``reference``: by segment, never by what is visible.

    Where segments overlap, the inner tissue holds the voxel (``voxmmsd.labels.PRECEDENCE``), whatever the segments'
    order. Segments without a value are left out.
    """
    schema, segmentation = schema_of(node), node.GetSegmentation()
    masks = {}
    for label in schema.labels:
        ids = [i for i in segmentation.GetSegmentIDs() if value_of(segmentation.GetSegment(i)) == label.value]
        masks[label.key] = mask_of(node, ids, reference)
    return values_from_indices(indices_from_masks(masks, schema), schema)


def without_value(node) -> list[str]:
    """Names of segments that the user added: they mean nothing in the schema."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()]
    return [segment.GetName() for segment in segments if value_of(segment) is None]


def set_mask(node, segment_id: str, mask: np.ndarray, reference) -> None:
    """Make a segment what ``mask`` ``(z, y, x)`` says on the grid of the volume ``reference``; no node is made."""
    import numpy as np
    from vtk.util.numpy_support import numpy_to_vtk

    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = logic.CreateOrientedImageDataFromVolumeNode(reference, node.GetParentTransformNode())
    image.UnRegister(None)
    voxels = np.ascontiguousarray(mask, np.uint8).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    if not logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_REPLACE):
        raise RuntimeError(f"segment {segment_id} could not be set")


def volume_ml(mask: np.ndarray, reference) -> float:
    spacing = reference.GetSpacing()
    return float(mask.sum()) * spacing[0] * spacing[1] * spacing[2] / 1000.0


def _one(node, segment_id: str, image, shape) -> np.ndarray:
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    own = slicer.vtkOrientedImageData()
    if not node.GetBinaryLabelmapRepresentation(segment_id, own) or own.IsEmpty():
        return np.zeros(shape, bool)
    on_grid = slicer.vtkOrientedImageData()
    resampler = slicer.vtkOrientedImageDataResample
    resampler.ResampleOrientedImageToReferenceOrientedImage(own, image, on_grid)
    return vtk_to_numpy(on_grid.GetPointData().GetScalars()).reshape(shape) > 0
