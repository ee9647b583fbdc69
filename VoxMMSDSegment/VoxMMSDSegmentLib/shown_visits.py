"""The visits of a follow-up in the scene: of each the image, placed on the first visit, and its outlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import MODALITIES, MODALITY_NAMES, schema_named
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import Frame, Part
from VoxMMSDLib.volumes import ijk_to_world, read_steps, remove_whole
from VoxMMSDSegmentLib.case import OURS
from VoxMMSDSegmentLib.sights import largest_slices

if TYPE_CHECKING:
    from voxmmsd.labels import LabelSchema

COLORS = ((1.0, 1.0, 1.0), (1.0, 0.69, 0.0))  # of the first visit and of a later one, as in the page's picture
LINE_WIDTH = 2
NAMES = {"ET": _("Enhancing tumor"), "WT": _("Whole tumor")}


@dataclass(frozen=True)
class ShownVisit:
    """``outlines``: a segmentation with a segment for each structure. ``places``: structure -> volume in voxels and the
    middle of its largest slices, RAS mm; only those that are there."""

    name: str
    image: Any
    outlines: Any
    places: Mapping[str, tuple[int, list[float]]]

    @property
    def nodes(self) -> list[Any]:
        return [node for node in (self.image, self.outlines) if slicer.mrmlScene.IsNodePresent(node)]


def visit_name(record: Mapping[str, Any], number: int) -> str:
    """``day 93``, or ``visit 2`` where days are not known; ``number``: counted from 0."""
    days = record["visits"][number]["days"]
    return _("visit {number}").format(number=number + 1) if days is None else _("day {days}").format(days=days)


def visits_steps(folder: Path, record: Mapping[str, Any]) -> Steps:
    """Read what ``follow --registered`` has written, and remove those files. Ended early, it takes back its nodes."""
    made: list[ShownVisit] = []
    try:
        for number in range(len(record["visits"])):
            made.append((yield from _visit_steps(folder, record, number)))
            yield
    except BaseException:
        remove_visits(made)
        raise
    return tuple(made)


def remove_visits(visits: Iterable[ShownVisit]) -> None:
    for visit in visits:
        for node in visit.nodes:
            remove_whole(node)


def _visit_steps(folder: Path, record: Mapping[str, Any], number: int) -> Steps:
    schema, structures = schema_named(record["schema"]), tuple(record["lesions"])
    start = folder / f"visit-{number + 1}"
    modality = next(key for key in MODALITIES if _file(start, key).is_file())
    name = _("Visit {number}").format(number=number + 1)
    if (days := record["visits"][number]["days"]) is not None:
        name = _("Visit {number} (day {days})").format(number=number + 1, days=days)
    parts = yield lambda: _parts(_file(start, "labels"), schema, structures)
    image = yield from read_steps(_file(start, modality), f"{name} {MODALITY_NAMES[modality]}")
    outlines = None
    try:
        _keep_apart(image, "visit")
        yield
        outlines = _segmentation(image, _("{name} outlines").format(name=name), structures, COLORS[number > 0])
        yield
        frame = Frame(outlines, image)
        for key, part in parts.items():
            frame.put(key, part)
            yield
    except BaseException:
        for node in (image, outlines):
            if node is not None:
                remove_whole(node)
        raise
    for kind in (modality, "labels"):
        _file(start, kind).unlink()  # images of a patient; the page stays
    affine = ijk_to_world(image)
    places = {key: (part.voxels, _world(affine, largest_slices(part))) for key, part in parts.items() if part.voxels}
    return ShownVisit(name, image, outlines, places)


def _file(start: Path, kind: str) -> Path:
    return start.with_name(f"{start.name}-{kind}.nii.gz")


def _parts(file: Path, schema: LabelSchema, structures: Iterable[str]) -> dict[str, Part]:
    """In a thread: where each structure is."""
    import numpy as np

    from voxmmsd.data.formats.sources import Source, read_volume
    from voxmmsd.labels import indices_from_values
    from voxmmsd.measuring.lesions import indices_of

    indices = indices_from_values(np.asarray(read_volume(Source(file)).array), schema, file.name)
    return {key: Part((0, 0, 0), np.isin(indices, indices_of(schema, key))).cropped() for key in structures}


def _segmentation(image: Any, name: str, structures: Iterable[str], color: tuple[float, ...]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility(False)  # until the visits are shown beside each other
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(False)
    display.SetSliceIntersectionThickness(LINE_WIDTH)
    node.SetReferenceImageGeometryParameterFromVolumeNode(image)
    for key in structures:
        node.GetSegmentation().AddEmptySegment(key, NAMES[key], color)
    _keep_apart(node, "outlines")
    return node


def _keep_apart(node: Any, kind: str) -> None:
    """A copy to look at: it is no input, and is not saved with the scene."""
    node.SetAttribute(OURS, kind)
    node.SetSelectable(False)
    node.SetSaveWithScene(False)


def _world(affine: Any, index_zyx: tuple[float, ...]) -> list[float]:
    return [float(value) for value in (affine @ [*reversed(index_zyx), 1.0])[:3]]
