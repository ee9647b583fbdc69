"""From the core's files to nodes: segmentation with codes, regions, volumes, places, uncertainty."""

from __future__ import annotations

import json

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, LabelSchema, schema_named
from VoxMMSDLib.segments import MODEL, SCHEMA, VALUE, add_segment, mask_of, set_mask
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDSegmentLib.case import OURS, SlicerCase
from VoxMMSDSegmentLib.job import ResultFiles
from VoxMMSDSegmentLib.places import PLACES_ROLE, UNCERTAINTY_ROLE, load_uncertainty, make_places_node
from VoxMMSDSegmentLib.regions import REGIONS_ROLE, TABLE_ROLE, make_regions_node, make_table_node, rebuild

REVIEW = "VoxMMSD.Review"  # attribute
# Node references. A step is an image as it was segmented, where it was aligned or resampled.
PREDICTED_LABELS, BRAIN_MASK = "VoxMMSD.Predicted", "VoxMMSD.BrainMask"
_INPUT, _STEP = "VoxMMSD.Input.{}", "VoxMMSD.Step.{}"


def make_result(case: SlicerCase, files: ResultFiles):
    """A new segmentation node of the result, with all that belongs to it, beside the case's images in the data tree."""
    schema, reference = schema_named(files.record["schema"]), case.reference_node
    node = _segmentation(case, schema, files)
    make_regions_node(node)
    make_table_node(node, files.record["volumes_ml"])
    make_places_node(node, files.record["review"], schema)
    if files.uncertainty is not None:
        load_uncertainty(node, files.uncertainty, _("{name} uncertainty").format(name=node.GetName()))
    _load_steps(node, case, files)
    rebuild(node, reference)
    _place_beside(reference, [node, *_belonging(node)])
    return node


def last_result_of(volumes: dict, but=None):
    """The newest result, other than ``but``, that was made of exactly these images; None where there is none."""
    inputs = {key: node.GetID() for key, node in volumes.items()}
    for node in reversed(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")):
        own = {key: found.GetID() for key in MODALITIES if (found := input_of(node, key)) is not None}
        if node is not but and node.GetAttribute(SCHEMA) and own == inputs:
            return node
    return None


def replace_result(old, new) -> None:
    """Make ``old`` what ``new`` is and take ``new`` away; segments that the user added to ``old`` stay.

    Raises:
        InputError: they follow different label schemas.
    """
    if old.GetAttribute(SCHEMA) != new.GetAttribute(SCHEMA):
        raise InputError(_("{name} has other tissues than this model: keep both").format(name=old.GetName()))
    reference = reference_of(new)
    for label in schema_named(new.GetAttribute(SCHEMA)).labels:
        if old.GetSegmentation().GetSegment(label.key) is not None:
            set_mask(old, label.key, mask_of(new, [label.key], reference), reference)
    for name in (MODEL, REVIEW):
        old.SetAttribute(name, new.GetAttribute(name))
    for role in (TABLE_ROLE, PLACES_ROLE, UNCERTAINTY_ROLE, PREDICTED_LABELS):
        before, after = old.GetNodeReference(role), new.GetNodeReference(role)
        old.SetNodeReferenceID(role, after.GetID() if after is not None else None)
        if before is not None:
            remove_whole(before)
    remove_whole(new.GetNodeReference(REGIONS_ROLE))
    remove_whole(new)
    rebuild(old, reference)


def reference_of(result):
    """The volume whose grid the result has; None where the user has deleted it."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    return result.GetNodeReference(role)


def input_of(result, modality: str):
    return result.GetNodeReference(_INPUT.format(modality))


def step_of(result, modality: str):
    """The image of a modality as it was segmented, where that is not the input itself; None else."""
    return result.GetNodeReference(_STEP.format(modality))


def _load_steps(node, case: SlicerCase, files: ResultFiles) -> None:
    """What the core made on the way, as volumes that are not shown: to look at, and for the training library."""
    for key, file in files.images.items():
        name = _("{name} as segmented").format(name=case.volumes[key].GetName())
        image = slicer.util.loadVolume(str(file), {"name": name, "show": False})
        image.SetAttribute(OURS, "step")
        node.SetNodeReferenceID(_STEP.format(key), image.GetID())
    if files.brain_mask is not None:
        name = _("{name} brain mask").format(name=node.GetName())
        mask = slicer.util.loadLabelVolume(str(files.brain_mask), {"name": name, "show": False})
        mask.SetAttribute(OURS, "brain mask")
        node.SetNodeReferenceID(BRAIN_MASK, mask.GetID())


def _segmentation(case: SlicerCase, schema: LabelSchema, files: ResultFiles):
    reference = case.reference_node
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} tumor").format(name=reference.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for label in schema.labels:
        add_segment(node.GetSegmentation(), label.key, label.name, label.color, label.terminology)
        node.GetSegmentation().GetSegment(label.key).SetTag(VALUE, str(label.value))
    _fill(node, schema, _predicted_labels(node, files.labels), reference)
    node.SetAttribute(SCHEMA, schema.name)
    node.SetAttribute(REVIEW, json.dumps(files.record["review"]))
    for key, volume in case.volumes.items():
        node.SetNodeReferenceID(_INPUT.format(key), volume.GetID())
    if case.brain_mask is not None:
        node.SetNodeReferenceID(BRAIN_MASK, case.brain_mask.GetID())
    node.SetAttribute(MODEL, files.record["model"]["id"])
    return node


def _fill(node, schema: LabelSchema, labelmap, reference) -> None:
    values = slicer.util.arrayFromVolume(labelmap)
    for label in schema.labels:
        inside = values == label.value
        if inside.any():
            # A layer each: collapsing them would resample all to the grid of an empty segment, which has none.
            set_mask(node, label.key, inside, reference)


def _predicted_labels(node, file):
    """The labels as the model gave them, kept to compare with: hidden, never edited."""
    labelmap = slicer.util.loadLabelVolume(
        str(file), {"name": _("{name} predicted").format(name=node.GetName()), "show": False}
    )
    labelmap.SetHideFromEditors(True)
    labelmap.SetAttribute(OURS, "prediction")
    node.SetNodeReferenceID(PREDICTED_LABELS, labelmap.GetID())
    return labelmap


def _belonging(node) -> list:
    roles = (REGIONS_ROLE, TABLE_ROLE, PLACES_ROLE, UNCERTAINTY_ROLE, *map(_STEP.format, MODALITIES))
    mask = node.GetNodeReference(BRAIN_MASK)
    own = [mask] if mask is not None and mask.GetAttribute(OURS) else []
    return own + [found for role in roles if (found := node.GetNodeReference(role)) is not None]


def _place_beside(reference, nodes: list) -> None:
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    own = tree.GetItemByDataNode(reference)
    if not own:
        return
    parent = tree.GetItemParent(own)
    for node in nodes:
        if item := tree.GetItemByDataNode(node):
            tree.SetItemParent(item, parent)
