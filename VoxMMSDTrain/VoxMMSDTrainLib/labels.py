"""Label values on their way to segments and back: the voxels are handled by functions that may run in a thread."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
import vtk

from voxmmsd.labels import LabelSchema, indices_from_masks
from VoxMMSDLib.segments import (
    SCHEMA,
    VALUE,
    binary_labelmap,
    mask_of,
    schema_of,
    terminology_entry,
    value_of,
    with_voxels,
)

if TYPE_CHECKING:
    import numpy as np

    from voxmmsd.data.volume import Grid


@dataclass(frozen=True)
class Piece:
    """The box of a grid outside which a tissue is nowhere: mask ``(z, y, x)`` uint8, and the box's first voxel."""

    mask: np.ndarray
    start_zyx: tuple[int, int, int]


@dataclass(frozen=True)
class Labels:
    """Tissues on a grid, by key of the schema's labels; a tissue that is nowhere is left out."""

    schema: LabelSchema
    grid: Grid | None
    pieces: Mapping[str, Piece]


def pieces_of(indices_zyx: np.ndarray, schema: LabelSchema, grid: Grid) -> Labels:
    """Cut class indices ``(z, y, x)`` into their tissues. Touches no node."""
    pieces = {}
    for index, label in enumerate(schema.labels, start=1):
        mask = indices_zyx == index
        if mask.any():
            pieces[label.key] = _cut(mask)
    return Labels(schema, grid, pieces)


def _cut(mask: np.ndarray) -> Piece:
    import numpy as np

    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return Piece(np.ascontiguousarray(mask[tuple(box)], np.uint8), (box[0].start, box[1].start, box[2].start))


def segmentation_of(labels: Labels, name: str, reference, attributes: Mapping[str, str], is_shown: bool = True):
    """A segmentation node of ``labels``; ``reference``: the volume whose geometry it has, and whose grid if that fits.

    Whole before it is displayed, tags before a segment is added: each change of a shown node costs Slicer a redraw.
    ``is_shown``: false where its looks are yet to be chosen.
    """
    affine = _affine_for(labels, reference)
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetAttribute(SCHEMA, labels.schema.name)
    for key, value in attributes.items():
        node.SetAttribute(key, value)
    node.GetSegmentation().SetSourceRepresentationName(binary_labelmap())
    for label in labels.schema.labels:
        node.GetSegmentation().AddSegment(_segment(label, labels.pieces.get(label.key), affine), label.key)
    with batch():
        node = slicer.mrmlScene.AddNode(node)
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(is_shown)
    return node


def _segment(label, piece: Piece | None, affine):
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor(*(value / 255 for value in label.color))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_entry(label.terminology))
    segment.SetTag(VALUE, str(label.value))
    segment.AddRepresentation(binary_labelmap(), _image(piece, affine))
    return segment


def _image(piece: Piece | None, affine):
    from vtk.util.numpy_support import numpy_to_vtk

    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    if piece is None:
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        return image
    (z, y, x), (depth, height, width) = piece.start_zyx, piece.mask.shape
    image.SetExtent(x, x + width - 1, y, y + height - 1, z, z + depth - 1)
    voxels = numpy_to_vtk(piece.mask.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(voxels)
    return image


def _affine_for(labels: Labels, reference):
    """The volume's own where its grid is the labels': a file's numbers and a node's differ in the last digits."""
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    grid = labels.grid
    if grid is None or grid.same_as(type(grid)(_shape(reference), affine)):
        return affine
    return grid.affine_xyz


def _shape(volume) -> tuple[int, int, int]:
    x, y, z = volume.GetImageData().GetDimensions()
    return (z, y, x)


@dataclass(frozen=True)
class Snapshot:
    """What the segments of a node are now: copies, which a thread may work on."""

    schema: LabelSchema
    shape_zyx: tuple[int, int, int]
    parts: Mapping[str, tuple[tuple[np.ndarray, tuple[int, int, int]], ...]]

    def indices(self) -> np.ndarray:
        """Class indices ``(z, y, x)`` of the schema, the inner tissue where segments overlap. Touches no node."""
        import numpy as np

        masks = {}
        for label in self.schema.labels:
            mask = masks[label.key] = np.zeros(self.shape_zyx, bool)
            for voxels, start in self.parts.get(label.key, ()):
                _paint(mask, voxels, start)
        return indices_from_masks(masks, self.schema)


def _paint(mask: np.ndarray, voxels: np.ndarray, start: tuple[int, int, int]) -> None:
    """Set ``mask`` where ``voxels`` are, those outside of it left out."""
    first = [max(0, -begin) for begin in start]
    last = [min(n, size - begin) for n, size, begin in zip(voxels.shape, mask.shape, start, strict=True)]
    if any(end <= begin for begin, end in zip(first, last, strict=True)):
        return
    inside = tuple(slice(begin, end) for begin, end in zip(first, last, strict=True))
    there = tuple(slice(begin + s.start, begin + s.stop) for begin, s in zip(start, inside, strict=True))
    mask[there] |= voxels[inside]


def snapshot(node, reference) -> Generator[None, None, Snapshot]:
    """Copy the segments of ``node`` on the grid of the volume ``reference``, hidden ones too; a step for each segment.

    Segments without a value are left out.

    Raises:
        InputError: segments have surfaces only, which cannot be turned into voxels.
    """
    schema, segmentation = schema_of(node), with_voxels(node).GetSegmentation()
    values = {label.value: label.key for label in schema.labels}
    parts: dict[str, Any] = {}
    for segment_id in segmentation.GetSegmentIDs():
        value = value_of(segmentation.GetSegment(segment_id))
        if value is not None and (key := values.get(value)) is not None:
            parts[key] = (*parts.get(key, ()), _copied(node, segment_id, reference))
            yield
    return Snapshot(schema, _shape(reference), parts)


def left_out(node, reference) -> list[str]:
    """Names of the segments that hold voxels but no tissue of the schema: a snapshot leaves them out."""
    segmentation = node.GetSegmentation()
    values = {label.value for label in schema_of(node).labels}
    segments = {i: segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()}
    added = {i: one for i, one in segments.items() if value_of(one) not in values}
    return [one.GetName() for i, one in added.items() if _copied(node, i, reference)[0].any()]


def _copied(node, segment_id: str, reference) -> tuple[np.ndarray, tuple[int, int, int]]:
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetBinaryLabelmapInternalRepresentation(segment_id)
    if image is None or image.IsEmpty():
        return np.zeros((0, 0, 0), bool), (0, 0, 0)
    if not _is_on_grid(image, node, reference):
        return mask_of(node, [segment_id], reference), (0, 0, 0)
    x0, x1, y0, y1, z0, z1 = image.GetExtent()
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
    value = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    return voxels == value, (z0, y0, x0)


def _is_on_grid(image, node, reference) -> bool:
    import numpy as np

    if node.GetParentTransformNode() is not reference.GetParentTransformNode():
        return False
    own, wanted = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(own)
    reference.GetIJKToRASMatrix(wanted)
    return bool(np.allclose(slicer.util.arrayFromVTKMatrix(own), slicer.util.arrayFromVTKMatrix(wanted), atol=1e-4))


@contextmanager
def batch() -> Iterator[None]:
    """Within it the scene's changes are shown once, at the end."""
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    try:
        yield
    finally:
        slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
