"""A case of the training library in the scene, and its corrected labels on their way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema, indices_from_values, schema_named, values_from_indices
from VoxMMSDLib.segments import SCHEMA, VALUE, add_segment, label_array, schema_of, set_mask
from VoxMMSDLib.volumes import core_volume

if TYPE_CHECKING:
    from voxmmsd.library import LabelVersion, Library, LibraryCase

LIBRARY, CASE = "VoxMMSD.Library", "VoxMMSD.LibraryCase"  # attributes: the library's id, never its path
DEFAULT_SCHEMA = "brats-gli-2023"  # of a library without a single label
_SHOWN_FIRST = ("t1c", "t2f", "t2w", "t1n")


def open_case(library: Library, case: LibraryCase):
    """Load a case's images and its newest labels; the segmentation node.

    Raises:
        LibraryError: a file does not fit its checksum.
    """
    volumes = {
        name: slicer.util.loadVolume(str(case.image_file(name)), {"name": f"{case.id} {name}", "show": False})
        for name in case.modalities
    }
    newest = case.newest
    label = library.read_label(case, newest) if newest else None
    reference = _fitting(volumes, case, label)
    schema = schema_named(newest.schema if newest else schema_in_use(library))
    values = values_from_indices(label.array, schema) if label is not None else None
    node = segmentation_of(reference, values, schema, f"{case.id} labels")
    node.SetAttribute(LIBRARY, library.id)
    node.SetAttribute(CASE, case.id)
    shown = next(volumes[name] for name in _SHOWN_FIRST if name in volumes)
    slicer.util.setSliceViewerLayers(background=shown, fit=True)
    return node


def segmentation_of(reference, values_zyx, schema: LabelSchema, name: str):
    """A segmentation node of label values ``(z, y, x)`` on the grid of ``reference``; None: all are empty."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    node.SetAttribute(SCHEMA, schema.name)
    for one in schema.labels:
        add_segment(node.GetSegmentation(), one.key, one.name, one.color, one.terminology)
        node.GetSegmentation().GetSegment(one.key).SetTag(VALUE, str(one.value))
        if values_zyx is not None and (values_zyx == one.value).any():
            set_mask(node, one.key, values_zyx == one.value, reference)
    return node


def accept_case(library: Library, node) -> LabelVersion:
    """Append the labels of a case that ``open_case`` loaded, as they are now; hidden segments count as well.

    Raises:
        InputError: the node is no case of this library, or its image was deleted.
        LibraryError: the library cannot be written.
    """
    from voxmmsd.data.volume import Volume

    if node.GetAttribute(LIBRARY) != library.id:
        raise InputError(f"{node.GetName()}: was not opened from this library; open the case here first")
    reference = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    if reference is None:
        raise InputError(f"{node.GetName()}: its image is no longer in the scene; open the case again")
    schema = schema_of(node)
    indices = indices_from_values(label_array(node, reference), schema, node.GetName())
    return library.accept(node.GetAttribute(CASE), Volume(indices, core_volume(reference).grid), schema.name)


def opened_cases(library: Library) -> dict[str, object]:
    """Case id to the newest segmentation node in the scene that was opened from this library."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return {node.GetAttribute(CASE): node for node in nodes if node.GetAttribute(LIBRARY) == library.id}


def schema_in_use(library: Library) -> str:
    """The schema of the library's newest labels."""
    labels = [case.newest for case in library.cases() if case.newest]
    return max(labels, key=lambda label: label.time).schema if labels else DEFAULT_SCHEMA


def _fitting(volumes: dict, case: LibraryCase, label):
    """The volume whose grid the labels have; without labels the one that is shown."""
    for name, grid in case.entry.grids.items():
        if label is not None and label.grid.same_as(grid):
            return volumes[name]
    return next(volumes[name] for name in _SHOWN_FIRST if name in volumes)
