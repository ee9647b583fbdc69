"""The diameters of a result's enhancing lesions as lines in the scene, which the user may move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.background import Steps
from VoxMMSDSegmentLib.case import OURS

if TYPE_CHECKING:
    import numpy as np

    from voxmmsd.labels import LabelSchema

LINES_ROLE = "VoxMMSD.Diameters"  # node references of a result, several
MOST_LESIONS = 4  # whose lines are put into the scene
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
        for number, diameters in measurable[:MOST_LESIONS]
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
    names = {"longest": _("longest"), "perpendicular": _("perpendicular")}
    made: list[Any] = []
    for lesion in lesions:
        for kind, (start, end) in lesion.ends.items():
            yield
            if not slicer.mrmlScene.IsNodePresent(result):
                return made
            name = _("{name} lesion {number} {kind}")
            node = _line(name.format(name=result.GetName(), number=lesion.number, kind=names[kind]), start, end)
            node.GetDisplayNode().SetSelectedColor(*_COLORS[kind])
            result.AddNodeReferenceID(LINES_ROLE, node.GetID())
            made.append(node)
    return made


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
