"""The diameters of a result's enhancing lesions as lines in the scene, which the user may move.

Slicer writes a line's name beside it in the views: the names are short, and a folder in the data tree says whose they
are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from VoxMMSDLib.background import Steps
from VoxMMSDSegmentLib.case import OURS

if TYPE_CHECKING:
    import numpy as np

    from voxmmsd.labels import LabelSchema

_FOLDER = "diameters"  # attribute of an item of the data tree
LINES_ROLE = "VoxMMSD.Diameters"  # node references of a result, several
MAX_LESIONS = 4  # whose lines are put into the scene
_TEXT_AT = {"longest": vtk.VTK_TEXT_BOTTOM, "perpendicular": vtk.VTK_TEXT_TOP}  # the edge of it at the middle
_COLORS = {"longest": (1.0, 0.88, 0.3), "perpendicular": (0.5, 0.89, 1.0)}  # as in the report's pictures


@dataclass(frozen=True)
class LesionLines:
    """Both diameters of a lesion: name -> its two ends, RAS mm."""

    number: int
    ends: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]


def find_lines(values_zyx: np.ndarray, schema: LabelSchema, affine_xyz: np.ndarray) -> list[LesionLines]:
    """The diameters of the largest measurable lesions. May be called in a thread."""
    from voxmmsd.data.grid import Grid
    from voxmmsd.labels import indices_from_values
    from voxmmsd.measuring.lesions import find_lesions, has_structure

    if not has_structure(schema, "ET"):
        return []
    indices = indices_from_values(values_zyx, schema, "the result")
    found = find_lesions(indices, schema, Grid(values_zyx.shape, affine_xyz), "ET").lesions
    measurable = [(number, one.diameters) for number, one in enumerate(found, start=1) if one.is_measurable]
    return [
        LesionLines(
            number,
            {
                "longest": (diameters.longest.start, diameters.longest.end),
                "perpendicular": (diameters.perpendicular.start, diameters.perpendicular.end),
            },
        )
        for number, diameters in measurable[:MAX_LESIONS]
    ]


def lines_of(result: Any) -> list[Any]:
    """The lines of a result that are still in the scene."""
    count = result.GetNumberOfNodeReferences(LINES_ROLE)
    nodes = [result.GetNthNodeReference(LINES_ROLE, number) for number in range(count)]
    return [node for node in nodes if node is not None]


def show_lines(result: Any, lesions: list[LesionLines]) -> Steps:
    """Put the lines into the scene, each in a step, and return them.

    Those of an earlier call stay, since the user may have moved them.
    """
    if present := lines_of(result):
        return present
    result.RemoveNodeReferenceIDs(LINES_ROLE)
    names = {"longest": _("{number} longest"), "perpendicular": _("{number} perp.")}
    made: list[Any] = []
    for lesion in lesions:
        for kind, (start, end) in lesion.ends.items():
            yield
            if not slicer.mrmlScene.IsNodePresent(result):
                return made
            node = _line(names[kind].format(number=lesion.number), start, end)
            display = node.GetDisplayNode()
            display.SetSelectedColor(*_COLORS[kind])
            # They cross, and each has its text at its middle: one above it, the other below.
            display.GetTextProperty().SetVerticalJustification(_TEXT_AT[kind])
            result.AddNodeReferenceID(LINES_ROLE, node.GetID())
            _put_into_folder(node, result)
            made.append(node)
    return made


def remove_empty_folders() -> None:
    """Take the folders of lines out of the data tree that hold nothing any more."""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    for item in _items_below(tree.GetSceneItemID(), is_deep=True):
        if tree.GetItemAttribute(item, OURS) == _FOLDER and tree.GetNumberOfItemChildren(item) == 0:
            tree.RemoveItem(item)


def _put_into_folder(node: Any, result: Any) -> None:
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    parent = tree.GetItemParent(tree.GetItemByDataNode(result))
    name = _("{name} diameters").format(name=result.GetName())
    folder = next((item for item in _items_below(parent) if tree.GetItemName(item) == name), 0)
    if not folder:
        folder = tree.CreateFolderItem(parent, name)
        tree.SetItemAttribute(folder, OURS, _FOLDER)
    tree.SetItemParent(tree.GetItemByDataNode(node), folder)


def _items_below(item: int, is_deep: bool = False) -> list[int]:
    found = vtk.vtkIdList()
    slicer.mrmlScene.GetSubjectHierarchyNode().GetItemChildren(item, found, is_deep)
    return [found.GetId(number) for number in range(found.GetNumberOfIds())]


def _line(name: str, start: tuple[float, ...], end: tuple[float, ...]) -> Any:
    # Both points before the node is added to the scene: there each one would be redrawn. Without a scene, the
    # length would have no unit, and Slicer warns of that.
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsLineNode")
    node.UnRegister(None)
    node.SetScene(slicer.mrmlScene)
    node.SetName(name)
    node.SetAttribute(OURS, "diameter")
    for point in (start, end):
        node.AddControlPointWorld(list(point))
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetPointLabelsVisibility(False)
    return node
