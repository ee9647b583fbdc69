"""What a result's segments were edited from: the model's own labels, or those of a carry.

A tag of the segments names the carry. The segment editor's history keeps tags, so that after Undo the segments are
edits of what they were edits of before. The labels of each carry, and who decided their voxels, lie in a labelmap that
is hidden, and is saved with the scene.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.records.result import Refinement
from VoxMMSDLib.segments import schema_of
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDSegmentLib.case import OURS

if TYPE_CHECKING:
    import numpy as np

PREDICTED_LABELS = "VoxMMSD.Predicted"  # node reference: the labels as the model gave them
WEIGHTS, FINGERPRINTS = "VoxMMSD.Weights", "VoxMMSD.Fingerprints"  # attributes: of the model and of the images
ROUNDS, BEFORE = (
    "VoxMMSD.Rounds",
    "VoxMMSD.Before",
)  # node references: the carries' labels; what was before
ROUND, ABOUT = "VoxMMSD.Round", "VoxMMSD.About"  # tag of segments and attribute of nodes: the number; attribute: About
_PER_ORIGIN = 64  # a voxel of a carry's labelmap is its label's value and 64 times its origin


@dataclass(frozen=True)
class About:
    """What there is to say of a carry.

    ``refined``: the core's record of it. ``is_doubtful``: it explains too few of the edits. ``ml``: key of each label
    -> before and after. ``places``: what changed, as ``places.changed_places`` gives it.
    """

    refined: Refinement
    is_doubtful: bool
    ml: Mapping[str, tuple[float, float]]
    places: tuple[Mapping[str, Any], ...]

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, node: Any) -> About:
        record = json.loads(node.GetAttribute(ABOUT))
        return cls(**{**record, "refined": Refinement.from_record(record["refined"])})


@dataclass(frozen=True)
class Base:
    """Label values that edits are compared with, and who decided them; unpacked where it is first asked for, which may
    be in a thread.

    ``voxels``: both, ``packed``. ``refined``: the core's record of the carry, None for the model's own labels.
    """

    voxels: np.ndarray
    refined: Refinement | None

    @cached_property
    def label(self) -> np.ndarray:
        """Label values ``(z, y, x)``, uint8."""
        return self.voxels % _PER_ORIGIN

    @cached_property
    def origin(self) -> np.ndarray:
        """``(z, y, x)`` uint8: 0 the model, 1 edited by hand, 2 carried."""
        return self.voxels // _PER_ORIGIN

    def origin_with(self, label: np.ndarray) -> np.ndarray:
        """Who decided each voxel once ``label`` was edited from this."""
        import numpy as np

        return np.where(label != self.label, np.uint8(1), self.origin)


def base_of(result: Any, reference: Any) -> Base | None:
    """What the present segments were edited from; None where that is no longer in the scene.

    ``reference``: the volume whose grid the result has.
    """
    node, number = _base_node(result, reference)
    if node is None:
        return None
    refined = About.of(node).refined if number else None
    return Base(slicer.util.arrayFromVolume(node).astype("uint8"), refined)  # a copy


def has_base(result: Any, reference: Any) -> bool:
    """Whether ``base_of`` finds what the present segments were edited from."""
    return _base_node(result, reference)[0] is not None


def _base_node(result: Any, reference: Any) -> tuple[Any, int]:
    number = round_number(result)
    node = round_node(result, number) if number else predicted_labels(result)
    image, grid = (one.GetImageData() if one is not None else None for one in (node, reference))
    if image is None or grid is None or image.GetDimensions() != grid.GetDimensions():
        return None, number
    return node, number


def predicted_labels(result: Any) -> Any:
    """The labelmap of the labels as the model gave them; None where it is gone, or its file was when the scene was
    loaded."""
    node = result.GetNodeReference(PREDICTED_LABELS)
    return node if node is not None and node.GetImageData() is not None else None


def round_number(result: Any) -> int:
    """The number of the carry that the segments were edited from, 0 for the model's own labels."""
    for key in _keys(result):
        segment, found = result.GetSegmentation().GetSegment(key), vtk.reference("")
        if segment is not None and segment.GetTag(ROUND, found):
            return int(str(found))
    return 0


def round_node(result: Any, number: int) -> Any:
    """The labelmap of a carry; None where it is gone."""
    return next((node for node in round_nodes(result) if node.GetAttribute(ROUND) == str(number)), None)


def round_nodes(result: Any) -> list[Any]:
    count = result.GetNumberOfNodeReferences(ROUNDS)
    return [node for i in range(count) if (node := result.GetNthNodeReference(ROUNDS, i)) is not None]


def packed(label: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Labels and who decided them in one array, uint8."""
    return label + _PER_ORIGIN * origin


def add_round(result: Any, voxels: np.ndarray, about: About, reference: Any) -> int:
    """Keep the labels of a carry in the scene, ``packed``; its number."""
    number = 1 + max((int(node.GetAttribute(ROUND)) for node in round_nodes(result)), default=0)
    name = _("{name} carried {number}").format(name=result.GetName(), number=number)
    node = _new("vtkMRMLLabelMapVolumeNode", name)
    node.SetHideFromEditors(True)  # before the scene, whose lists would offer it, hears of it
    node = slicer.mrmlScene.AddNode(node)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.CopyOrientation(reference)
    node.SetAttribute(ROUND, str(number))
    node.SetAttribute(ABOUT, about.text())
    result.AddNodeReferenceID(ROUNDS, node.GetID())
    return number


def tag_round(result: Any, number: int) -> None:
    """Let the present segments be edits of a carry."""
    for key in _keys(result):
        if (segment := result.GetSegmentation().GetSegment(key)) is not None:
            segment.SetTag(ROUND, str(number))


def forget_rounds(result: Any, kept: Collection[str] = ()) -> None:
    """The result has new labels of a model: nothing was carried yet. ``kept``: ids of what other results need."""
    for key in _keys(result):
        if (segment := result.GetSegmentation().GetSegment(key)) is not None:
            segment.RemoveTag(ROUND)
    carried = round_nodes(result)
    result.RemoveNodeReferenceIDs(ROUNDS)
    for node in carried:
        if node.GetID() not in kept:
            remove_whole(node)
    forget_before(result)


def forget_before(result: Any) -> None:
    """Remove what ``keep_before`` made."""
    if (last := result.GetNodeReference(BEFORE)) is not None:
        remove_whole(last)


def keep_before(result: Any) -> Any:
    """The segments as they are now in a segmentation of their own, which is not shown."""
    node = _new("vtkMRMLSegmentationNode", _("{name} before").format(name=result.GetName()))
    node.SetSelectable(False)
    node.SetUndoEnabled(False)
    node.SetSaveWithScene(False)
    node.GetSegmentation().DeepCopy(result.GetSegmentation())
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().CopyContent(result.GetDisplayNode(), True)
    node.GetDisplayNode().SetVisibility(False)
    node.GetDisplayNode().SetSaveWithScene(False)
    if result.GetParentTransformNode() is not None:
        node.SetAndObserveTransformNodeID(result.GetTransformNodeID())
    result.SetNodeReferenceID(BEFORE, node.GetID())
    return node


def before_of(result: Any, number: int) -> Any:
    """The segments as they were before a carry; None where they are not kept."""
    node = result.GetNodeReference(BEFORE)
    return node if number and node is not None and node.GetAttribute(ROUND) == str(number) else None


def _new(kind: str, name: str) -> Any:
    """A node that is not in the scene yet."""
    node = slicer.mrmlScene.CreateNodeByClass(kind)
    node.UnRegister(None)
    node.SetName(name)
    node.SetAttribute(OURS, "carried")
    return node


def _keys(result: Any) -> list[str]:
    return [label.key for label in schema_of(result).labels]
