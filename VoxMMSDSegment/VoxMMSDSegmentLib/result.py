"""From the core's files to nodes: segmentation with codes, regions, volumes, places, uncertainty."""

from __future__ import annotations

import json

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import CAVITY, MODALITIES, WITH_CAVITY, Label, LabelSchema, schema_named
from voxmmsd.records.findings import Finding, Severity
from VoxMMSDLib.background import Steps, at_once
from VoxMMSDLib.one_patient import HIDDEN, is_of_case
from VoxMMSDLib.patient_views import PATIENT_VIEWS
from VoxMMSDLib.segments import MODEL, SCHEMA, VALUE, Frame, Part, add_segment, common_box, has_schema, is_result
from VoxMMSDLib.volumes import LABELS, read_steps, remove_whole
from VoxMMSDSegmentLib.brain_masks import BRAIN_MASK, mask_of_result, mask_steps
from VoxMMSDSegmentLib.case import OURS, SlicerCase
from VoxMMSDSegmentLib.diameter_lines import lines_of, remove_empty_folders
from VoxMMSDSegmentLib.job import ResultFiles
from VoxMMSDSegmentLib.places import LISTED, PLACES_ROLE, UNCERTAINTY_ROLE, load_uncertainty, make_places_node
from VoxMMSDSegmentLib.regions import (
    REGIONS_ROLE,
    TABLE_ROLE,
    make_regions_node,
    make_table_node,
    rebuild,
    regions_node,
)
from VoxMMSDSegmentLib.rounds import (
    BEFORE,
    FINGERPRINTS,
    PREDICTED_LABELS,
    WEIGHTS,
    forget_rounds,
    round_nodes,
)

REVIEW, WARNINGS = "VoxMMSD.Review", "VoxMMSD.Warnings"  # attributes: places to check; what the images were warned of
# Node references. A step is an image as it was segmented, where it was aligned, resampled or corrected.
INPUT, STEP = "VoxMMSD.Input.{}", "VoxMMSD.Step.{}"


def make_result(case: SlicerCase, files: ResultFiles):
    """A new segmentation node of the result, with all that belongs to it, beside the case's images in the data tree."""
    return at_once(result_steps(case, files))


def result_steps(case: SlicerCase, files: ResultFiles) -> Steps:
    """``make_result`` in steps, between which Slicer may see to its events; ended early, it takes back what it made."""
    schema, reference = schema_named(files.record.schema), case.reference_node
    node = _segmentation(case, schema, files)
    try:
        yield
        labels = yield from _predicted_labels(node, files.labels)
        yield
        yield from _fill(node, schema, labels, reference)
        make_regions_node(node)
        yield
        make_table_node(node, files.record.volumes_ml)
        yield
        yield from make_places_node(node, files.record.review, schema)
        yield
        if files.uncertainty is not None:
            yield from load_uncertainty(node, files.uncertainty, _("{name} uncertainty").format(name=node.GetName()))
            yield
        yield from _load_steps(node, case, files)
        rebuild(node, reference)
        yield
        place_beside(reference, [node, *belonging(node)])
        hide_results(but=node)
        node.GetDisplayNode().SetVisibility(True)
        PATIENT_VIEWS.keep_case_alone()
    except BaseException:
        remove_result(node)
        raise
    return node


def results() -> list:
    """All results in the scene, oldest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if is_result(node)]


def hide_results(but) -> None:
    """Hide the other results with outlines and diameters: two tumors on one brain cannot be told apart.

    So, too, the labels of a library case, which are shown again with the case; a result only where it is asked for.
    """
    for node in filter(has_schema, slicer.util.getNodesByClass("vtkMRMLSegmentationNode")):
        mask = mask_of_result(node)
        own = mask if mask is not None and mask.GetAttribute(OURS) else None  # not one that the user has taken
        for one in (node, regions_node(node), own, *lines_of(node)):
            display = one.GetDisplayNode() if one is not None and node is not but else None
            if display is None:
                continue
            if not is_of_case(one):
                one.RemoveAttribute(HIDDEN)
            elif display.GetVisibility():
                one.SetAttribute(HIDDEN, "yes")
            display.SetVisibility(False)


def show_result(node) -> None:
    """Show a result that was hidden for another one, in its place; one that is seen leaves all as it is."""
    display = node.GetDisplayNode()
    if display is None or display.GetVisibility():
        return
    hide_results(but=node)
    for one in (node, *lines_of(node)):
        if one.GetDisplayNode() is not None:
            one.GetDisplayNode().SetVisibility(True)


def remove_result(node) -> None:
    """Take a result out of the scene with all that was made for it alone."""
    kept = needed_by_others(node)
    for one in (*belonging(node), node):
        if slicer.mrmlScene.IsNodePresent(one) and one.GetID() not in kept:
            remove_whole(one)
    remove_empty_folders()


def needed_by_others(*going) -> set[str]:
    """Ids of what belongs to results that stay: a clone shares predicted labels and images with its original."""
    return {one.GetID() for result in results() if result not in going for one in belonging(result)}


def _is_clone(node) -> bool:
    """Whether an earlier result has the same predicted labels."""
    labels = node.GetNodeReference(PREDICTED_LABELS)
    same = (one for one in results() if labels is not None and one.GetNodeReference(PREDICTED_LABELS) is labels)
    return next(same, node) is not node


def last_result_of(volumes: dict, but=None):
    """The newest result, other than ``but``, that was made of exactly these images; None where there is none. A clone
    is the user's copy, and not meant while its original is there.

    With ``but``, it is also one that ``replace_result`` can make what that is.
    """
    inputs = {key: node.GetID() for key, node in volumes.items()}
    for node in reversed(results()):
        own = {key: found.GetID() for key in MODALITIES if (found := input_of(node, key)) is not None}
        if (
            node is not but
            and own == inputs
            and not _is_clone(node)
            and (but is None or not _why_not_replaced(node, but))
        ):
            return node
    return None


def replace_result(old, new) -> None:
    """Make ``old`` what ``new`` is and take ``new`` away; segments that the user added to ``old`` stay, a cavity among
    them.

    Raises:
        InputError: they follow different label schemas, or lie on different voxel grids.
    """
    if reason := _why_not_replaced(old, new):
        raise InputError(reason.format(name=old.GetName()), _("keep both"))
    reference, kept = reference_of(new), needed_by_others(old, new)
    source, target = Frame(new, reference), Frame(old, reference)
    cavity = target.part([CAVITY] if old.GetSegmentation().GetSegment(CAVITY) is not None else [])
    for label in schema_named(new.GetAttribute(SCHEMA)).labels:
        if old.GetSegmentation().GetSegment(label.key) is None:  # the user took it away
            _add_tissue(old.GetSegmentation(), label)
        target.put(label.key, _without(source.part([label.key]), cavity))
    for name in (MODEL, REVIEW, WARNINGS, WEIGHTS, FINGERPRINTS, LISTED):
        old.SetAttribute(name, new.GetAttribute(name))
    forget_rounds(old, kept)
    for key in MODALITIES:
        image = input_of(new, key)
        old.SetNodeReferenceID(INPUT.format(key), image.GetID() if image is not None else None)
    for role in (TABLE_ROLE, PLACES_ROLE, UNCERTAINTY_ROLE, PREDICTED_LABELS, *map(STEP.format, MODALITIES)):
        before, after = old.GetNodeReference(role), new.GetNodeReference(role)
        old.SetNodeReferenceID(role, after.GetID() if after is not None else None)
        if before is not None and before.GetID() not in kept:
            remove_whole(before)
        if after is not None:
            after.SetName(after.GetName().replace(new.GetName(), old.GetName(), 1))
    _take_over_mask(old, new, kept)
    remove_whole(new.GetNodeReference(REGIONS_ROLE))
    remove_whole(new)
    rebuild(old, reference)
    old.GetDisplayNode().SetVisibility(True)
    PATIENT_VIEWS.keep_case_alone()


def _why_not_replaced(old, new) -> str:
    if new.GetAttribute(SCHEMA) not in (old.GetAttribute(SCHEMA), old.GetAttribute(SCHEMA).removesuffix(WITH_CAVITY)):
        return _("{name} has other tissues than this model")
    if reference_of(new) is not reference_of(old):
        return _("{name} lies on another voxel grid")
    return ""


def _without(part: Part, other: Part) -> Part:
    if not (part.array.size and other.array.size):
        return part
    start, shape = common_box([part, other])
    return Part(start, part.within(start, shape) & ~other.within(start, shape)).cropped()


def _take_over_mask(old, new, kept) -> None:
    before, after = mask_of_result(old), new.GetNodeReference(BRAIN_MASK)
    old.SetNodeReferenceID(BRAIN_MASK, after.GetID() if after is not None else None)
    if before is not None and before is not after and before.GetAttribute(OURS) and before.GetID() not in kept:
        remove_whole(before)
    if after is not None and after.GetAttribute(OURS):
        after.SetName(after.GetName().replace(new.GetName(), old.GetName(), 1))


def reference_of(result):
    """The volume whose grid the result has; None where the user has deleted it."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    return result.GetNodeReference(role)


def warnings_of(result) -> list[str]:
    """What the core had warned of when it looked at the images; notes and the remedies, which come before a run and
    speak of the command line, are left out."""
    known = json.loads(result.GetAttribute(WARNINGS) or "[]")
    # Scenes of version 0.1 hold lines.
    found = [Finding.of_line(one) if isinstance(one, str) else Finding.of(one) for one in known]
    return [finding.text for finding in found if finding is not None and finding.severity != Severity.NOTE]


def input_of(result, modality: str):
    return result.GetNodeReference(INPUT.format(modality))


def step_of(result, modality: str):
    """The image of a modality as it was segmented, where that is not the input itself; None else."""
    return result.GetNodeReference(STEP.format(modality))


def is_image_of(result, volume) -> bool:
    """Whether a volume, which may be None, is an input of a result, or one as it was segmented."""
    return volume is not None and any(volume in (input_of(result, key), step_of(result, key)) for key in MODALITIES)


def _load_steps(node, case: SlicerCase, files: ResultFiles) -> Steps:
    """What the core made on the way, as volumes that are not shown: to look at, and for the training library."""
    for key, file in files.images.items():
        name = _("{name} as segmented").format(name=case.volumes[key].GetName())
        image = yield from read_steps(file, name)
        image.SetAttribute(OURS, "step")
        node.SetNodeReferenceID(STEP.format(key), image.GetID())
        yield
    if files.brain_mask is not None and case.brain_mask is None:
        name = _("{name} brain mask").format(name=node.GetName())
        mask = yield from mask_steps(files.brain_mask, name, case.reference_node)
        node.SetNodeReferenceID(BRAIN_MASK, mask.GetID())
        yield


def _segmentation(case: SlicerCase, schema: LabelSchema, files: ResultFiles):
    reference = case.reference_node
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} tumor").format(name=reference.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)  # until it is whole
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for label in schema.labels:
        _add_tissue(node.GetSegmentation(), label)
    node.SetAttribute(SCHEMA, schema.name)
    node.SetAttribute(REVIEW, json.dumps(files.record.review))
    node.SetAttribute(WARNINGS, json.dumps([finding.record() for finding in files.record.warnings]))
    for key, volume in case.volumes.items():
        node.SetNodeReferenceID(INPUT.format(key), volume.GetID())
    if case.brain_mask is not None:
        node.SetNodeReferenceID(BRAIN_MASK, case.brain_mask.GetID())
    node.SetAttribute(MODEL, files.record.model.id)
    node.SetAttribute(WEIGHTS, files.record.model.weights_sha256)
    node.SetAttribute(FINGERPRINTS, json.dumps(files.fingerprints))
    return node


def _add_tissue(segmentation, label: Label) -> None:
    add_segment(segmentation, label.key, label.name, label.color, label.terminology)
    segmentation.GetSegment(label.key).SetTag(VALUE, str(label.value))


def _fill(node, schema: LabelSchema, labelmap, reference) -> Steps:
    values, frame = slicer.util.arrayFromVolume(labelmap), Frame(node, reference)
    for label in schema.labels:
        # A layer each: collapsing them would resample all to the grid of an empty segment, which has none.
        part = Part((0, 0, 0), values == label.value).cropped()
        if part.array.size:
            frame.put(label.key, part)
        yield


def _predicted_labels(node, file) -> Steps:
    """The labels as the model gave them, kept to compare with: hidden, never edited."""
    labelmap = yield from read_steps(file, _("{name} predicted").format(name=node.GetName()), LABELS)
    labelmap.SetHideFromEditors(True)
    labelmap.SetAttribute(OURS, "prediction")
    node.SetNodeReferenceID(PREDICTED_LABELS, labelmap.GetID())
    return labelmap


def belonging(node) -> list:
    """The nodes that were made for a result."""
    roles: tuple[str, ...] = (REGIONS_ROLE, TABLE_ROLE, PLACES_ROLE, UNCERTAINTY_ROLE, PREDICTED_LABELS, BEFORE)
    roles += tuple(map(STEP.format, MODALITIES))
    mask = node.GetNodeReference(BRAIN_MASK)
    own = [mask] if mask is not None and mask.GetAttribute(OURS) else []
    own += round_nodes(node) + lines_of(node)
    return own + [found for role in roles if (found := node.GetNodeReference(role)) is not None]


def place_beside(reference, nodes: list) -> None:
    """Put nodes where a volume is in the data tree."""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    own = tree.GetItemByDataNode(reference)
    if not own:
        return
    parent = tree.GetItemParent(own)
    for node in nodes:
        if item := tree.GetItemByDataNode(node):
            tree.SetItemParent(item, parent)
