"""Clones of results, made in Slicer's module Data: with the attributes of a result, but none of its references."""

from __future__ import annotations

import json
from typing import Any

import slicer

from voxmmsd.labels import MODALITIES, WITH_CAVITY
from VoxMMSDLib.segments import MODEL, SCHEMA
from VoxMMSDSegmentLib.brain_masks import BRAIN_MASK
from VoxMMSDSegmentLib.places import LISTED, UNCERTAINTY_ROLE
from VoxMMSDSegmentLib.regions import PREDICTED, make_regions_node, make_table_node, table_node
from VoxMMSDSegmentLib.result import INPUT, REVIEW, STEP, belonging, input_of, place_beside, reference_of, results
from VoxMMSDSegmentLib.rounds import FINGERPRINTS, PREDICTED_LABELS, ROUNDS, WEIGHTS

_SAME = (MODEL, WEIGHTS, FINGERPRINTS, REVIEW)  # attributes of two results that are of one run


def adopt_clones() -> None:
    """Let clones of results be results, by the images and the predicted labels of their original.

    Where that is gone they are the user's own segmentations: nothing can be said of what they were made from.
    """
    for clone in [node for node in results() if not _has_references(node)]:
        original = next((node for node in results() if _has_references(node) and _are_of_one_run(node, clone)), None)
        if original is not None:
            _bind(clone, original)
        else:
            for name in (SCHEMA, MODEL):
                clone.RemoveAttribute(name)


def _has_references(node: Any) -> bool:
    """Whether any of what a result is made from, or what was made for it, is known."""
    return bool(belonging(node)) or any(input_of(node, key) is not None for key in MODALITIES)


def _are_of_one_run(one: Any, other: Any) -> bool:
    """Of the same images, which are known, and a model, on one grid; the user may have added a cavity to one of
    them."""
    if not json.loads(one.GetAttribute(FINGERPRINTS) or "{}") or reference_of(one) is None:
        return False
    facts = [(_schema(node), _geometry(node), *map(node.GetAttribute, _SAME)) for node in (one, other)]
    return facts[0] == facts[1]


def _schema(node: Any) -> str:
    return str(node.GetAttribute(SCHEMA)).removesuffix(WITH_CAVITY)


def _geometry(node: Any) -> str:
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    return str(node.GetSegmentation().GetConversionParameter(name))


def _bind(clone: Any, original: Any) -> None:
    """What nobody edits is that of the original; regions and volumes are its own, as are places to check, which are
    listed once it is chosen."""
    images = [role.format(key) for role in (INPUT, STEP) for key in MODALITIES]
    grid = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for role in (grid, *images, PREDICTED_LABELS, ROUNDS, BRAIN_MASK, UNCERTAINTY_ROLE):
        for number in range(original.GetNumberOfNodeReferences(role)):
            clone.AddNodeReferenceID(role, original.GetNthNodeReferenceID(role, number))
    clone.RemoveAttribute(LISTED)
    made = [make_regions_node(clone)]
    if (table := table_node(original)) is not None:
        made.append(make_table_node(clone, json.loads(table.GetAttribute(PREDICTED) or "{}")))
    place_beside(reference_of(clone), made)
