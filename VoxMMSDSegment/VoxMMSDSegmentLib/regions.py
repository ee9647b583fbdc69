"""Whole tumor and core as a second segmentation, and the table of volumes: both follow every edit of the result.

They are no segments of the result itself: the segment editor's default is to overwrite all other segments, and one
stroke would eat into the regions.
"""

from __future__ import annotations

from collections.abc import Mapping

import slicer
from slicer.i18n import tr as _

from voxmmsd.colors import REGION_COLORS
from voxmmsd.labels import LabelSchema, Region, Terminology
from VoxMMSDLib.segments import Frame, Part, add_segment, schema_of, segments_by_value, union
from VoxMMSDLib.volumes import voxel_ml
from VoxMMSDSegmentLib.case import OURS

REGIONS_ROLE, TABLE_ROLE = "VoxMMSD.Regions", "VoxMMSD.Volumes"  # node references of a result
PREDICTED = "VoxMMSD.PredictedVolumes"
_WHOLE = Terminology("SCT", "108369006", "Neoplasm")
_CORE = Terminology("SCT", "86049000", "Neoplasm, Primary")
_CODES = {"WT": _WHOLE, "TC": _CORE}


def derived(schema: LabelSchema) -> tuple[Region, ...]:
    """The regions that are unions of several labels."""
    return tuple(region for region in schema.regions if len(region.values) > 1 and region.key in _CODES)


def make_regions_node(result):
    """The second segmentation of a result: shown as outlines, off at first."""
    node = slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", _("{name} regions").format(name=result.GetName())
    )
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(OURS, "regions")
    node.SetSelectable(False)
    node.SetUndoEnabled(False)
    for region in derived(schema_of(result)):
        add_segment(node.GetSegmentation(), region.key, region.name, REGION_COLORS[region.key], _CODES[region.key])
        logic = slicer.modules.segmentations.logic()
        logic.SetSegmentStatus(node.GetSegmentation().GetSegment(region.key), logic.Completed)
    display = node.GetDisplayNode()
    display.SetVisibility(False)
    display.SetVisibility2DFill(False)
    result.SetNodeReferenceID(REGIONS_ROLE, node.GetID())
    return node


def regions_node(result):
    return result.GetNodeReference(REGIONS_ROLE)


def table_node(result):
    return result.GetNodeReference(TABLE_ROLE)


def rebuild(result, reference) -> None:
    """Bring regions and volumes up to date with the result's segments."""
    schema, voxel = schema_of(result), voxel_ml(reference)
    frame = Frame(result, reference)
    parts = {value: frame.part(ids) for value, ids in segments_by_value(result).items()}
    regions = {
        region: union(parts[value] for value in region.values if value in parts)
        for region in schema.regions
        if any(value in parts for value in region.values)
    }
    node = regions_node(result)
    if node is not None:
        _rebuild_regions(node, schema, regions, reference)
    _fill_table(
        result,
        schema,
        {value: part.voxels * voxel for value, part in parts.items()},
        {region.key: part.voxels * voxel for region, part in regions.items()},
    )


def _rebuild_regions(node, schema: LabelSchema, regions: dict[Region, Part], reference) -> None:
    segmentation, frame = node.GetSegmentation(), Frame(node, reference)
    was_modifying = node.StartModify()
    try:
        for region in derived(schema):
            if segmentation.GetSegment(region.key) is None:  # the user took it away: it is not wanted
                continue
            frame.put(region.key, regions.get(region) or union(()))
    finally:
        node.EndModify(was_modifying)


def make_table_node(result, predicted_ml: Mapping[str, float]):
    """Volumes in ml, predicted beside edited."""
    import json

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _("{name} volumes").format(name=result.GetName()))
    node.SetAttribute(OURS, "volumes")
    node.SetAttribute(PREDICTED, json.dumps(predicted_ml))
    node.SetUseColumnTitleAsColumnHeader(True)
    result.SetNodeReferenceID(TABLE_ROLE, node.GetID())
    return node


def _fill_table(result, schema: LabelSchema, by_value: dict[int, float], by_region: dict[str, float]) -> None:
    import json

    import vtk

    node = table_node(result)
    if node is None:
        return
    predicted = json.loads(node.GetAttribute(PREDICTED) or "{}")
    rows = [(label.key, label.name, by_value.get(label.value, 0.0)) for label in schema.labels]
    rows += [(region.key, region.name, by_region.get(region.key, 0.0)) for region in derived(schema)]
    name, before, now = vtk.vtkStringArray(), vtk.vtkStringArray(), vtk.vtkStringArray()
    for column, title in ((name, _("Tissue")), (before, _("Predicted (ml)")), (now, _("Now (ml)"))):
        column.SetName(title)
    for key, text, ml in rows:
        name.InsertNextValue(text)
        before.InsertNextValue(f"{predicted[key]:.2f}" if key in predicted else "-")
        now.InsertNextValue(f"{ml:.2f}")
    was_modifying = node.StartModify()
    node.RemoveAllColumns()
    for column in (name, before, now):
        node.AddColumn(column)
    node.EndModify(was_modifying)
