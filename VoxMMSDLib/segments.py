"""Segments and label values: made with names, colors and codes, read back by segment id, whatever is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema, Terminology, indices_from_masks, schema_named, values_from_indices

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "VoxMMSD.Schema"  # attribute of all segmentations that are made here
MODEL = "VoxMMSD.Model"  # attribute of results alone: labels of a library case have none
VALUE = "VoxMMSD.LabelValue"  # tag of a segment: the value of its label in files
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_REGION = "SCT^12738006^Brain"
TERMS = "Vox-MMSD brain tumor"  # the list of terms that VoxMMSDSegment ships
_REGIONS = "Anatomic codes - DICOM master list"


def terminology_entry(term: Terminology) -> str:
    """As Slicer keeps it in a segment's tag: list, category, type, modifier, region's list, region, modifier."""
    kind = f"{term.scheme}^{term.code}^{term.meaning}"
    return "~".join((TERMS, _CATEGORY, kind, "^^", _REGIONS, _REGION, "^^"))


def add_segment(segmentation, key: str, name: str, color: Iterable[int], term: Terminology) -> None:
    """Add an empty segment with the id ``key``; ``color`` in 0 to 255."""
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor(*(value / 255 for value in color))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_entry(term))
    segmentation.AddSegment(segment, key)


def value_of(segment) -> int | None:
    """The label value of a segment; None for one that the user added."""
    found = vtk.reference("")
    if not segment.GetTag(VALUE, found):
        return None
    return int(str(found))


def schema_of(node) -> LabelSchema:
    """The label schema of a result."""
    return schema_named(node.GetAttribute(SCHEMA))


def has_schema(node) -> bool:
    """Whether a segmentation is a result, or labels of a library case."""
    return bool(node.GetAttribute(SCHEMA))


def is_result(node) -> bool:
    """Whether a node is what a model has made of images in the scene."""
    return node is not None and has_schema(node) and bool(node.GetAttribute(MODEL))


def with_voxels(node):
    """The segmentation ``node``, whose segments have voxels now, also where surfaces are their source.

    Raises:
        InputError: Slicer cannot turn them into voxels.
    """
    segmentation, name = node.GetSegmentation(), binary_labelmap()
    if not segmentation.GetNumberOfSegments() or segmentation.ContainsRepresentation(name):
        return node
    if not segmentation.CreateRepresentation(name):
        raise InputError(
            _("{name}: its segments cannot be turned into voxels").format(name=node.GetName()),
            _("create a binary labelmap under Representations in the module Segmentations"),
        )
    return node


def binary_labelmap() -> str:
    """Slicer's name of the representation of segments as voxels."""
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


class Frame:
    """The voxels of a volume, ``(z, y, x)``, as the segments of a segmentation are told them."""

    def __init__(self, node, reference) -> None:
        self.node = node
        x, y, z = reference.GetImageData().GetDimensions()
        self.shape_zyx = (z, y, x)
        self.image = _geometry(node, reference)

    def part(self, segment_ids: Iterable[str]) -> Part:
        """Where any of the segments is, hidden or not.

        Raises:
            InputError: as ``with_voxels``.
        """
        with_voxels(self.node)
        return union([self._one(segment_id) for segment_id in segment_ids])

    def put(self, segment_id: str, part: Part) -> None:
        """Make a segment what ``part`` is; no node is made. Surfaces are no longer the source of the segmentation.

        Raises:
            InputError: as ``with_voxels``.
        """
        import numpy as np
        from vtk.util.numpy_support import numpy_to_vtk

        segmentation = with_voxels(self.node).GetSegmentation()
        if segmentation.GetSourceRepresentationName() != binary_labelmap():
            segmentation.SetSourceRepresentationName(binary_labelmap())
        part = part if part.array.size else Part((0, 0, 0), np.zeros((1, 1, 1), bool))
        image = slicer.vtkOrientedImageData()
        bounds = [(start, start + n - 1) for start, n in zip(part.start_zyx, part.array.shape, strict=True)]
        image.SetExtent(*(limit for axis in reversed(bounds) for limit in axis))
        matrix = vtk.vtkMatrix4x4()
        self.image.GetImageToWorldMatrix(matrix)
        image.SetGeometryFromImageToWorldMatrix(matrix)
        voxels = np.ascontiguousarray(part.array, np.uint8).ravel()
        image.GetPointData().SetScalars(numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not logic.SetBinaryLabelmapToSegment(image, self.node, segment_id, logic.MODE_REPLACE):
            raise RuntimeError(f"segment {segment_id} could not be set")

    def _one(self, segment_id: str) -> Part:
        own = slicer.vtkOrientedImageData()
        if not self.node.GetBinaryLabelmapRepresentation(segment_id, own) or own.IsEmpty():
            return _nothing()
        resampler = slicer.vtkOrientedImageDataResample
        if not (resampler.DoGeometriesMatch(own, self.image) and self._holds(own.GetExtent())):
            on_grid = slicer.vtkOrientedImageData()
            resampler.ResampleOrientedImageToReferenceOrientedImage(own, self.image, on_grid)
            own = on_grid
        return _part_of(own).cropped()

    def _holds(self, extent: tuple[int, ...]) -> bool:
        sizes = reversed(self.shape_zyx)
        return all(low >= 0 and high < n for low, high, n in zip(extent[::2], extent[1::2], sizes, strict=True))


def _geometry(node, reference):
    """Where the voxels of ``reference`` lie for ``node``; the voxels themselves are copied only where they must be."""
    if reference.GetParentTransformNode() is not node.GetParentTransformNode():
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        image = logic.CreateOrientedImageDataFromVolumeNode(reference, node.GetParentTransformNode())
        image.UnRegister(None)
        return image
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    image.SetExtent(reference.GetImageData().GetExtent())
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


@dataclass(frozen=True)
class Part:
    """A mask in a larger grid: bool ``(z, y, x)`` of a box, and where the box starts."""

    start_zyx: tuple[int, int, int]
    array: np.ndarray

    @property
    def voxels(self) -> int:
        return int(self.array.sum())

    def cropped(self) -> Part:
        """The same in the smallest box."""
        box = _box_of(self.array)
        start = tuple(start + side.start for start, side in zip(self.start_zyx, box, strict=True))
        return Part(start, self.array[box])

    def within(self, start_zyx: tuple[int, int, int], shape_zyx: tuple[int, ...]) -> np.ndarray:
        """The mask in another box; what lies outside it is cut off."""
        import numpy as np

        whole = np.zeros(shape_zyx, bool)
        into, out_of = [], []
        for own, n, start, size in zip(self.start_zyx, self.array.shape, start_zyx, shape_zyx, strict=True):
            low, high = max(own, start), max(own, start, min(own + n, start + size))
            into.append(slice(low - start, high - start))
            out_of.append(slice(low - own, high - own))
        whole[tuple(into)] = self.array[tuple(out_of)]
        return whole


def union(parts: Iterable[Part]) -> Part:
    """All that any of the parts holds."""
    import numpy as np

    parts = [part for part in parts if part.array.size]
    if not parts:
        return _nothing()
    start, shape = common_box(parts)
    return Part(start, np.logical_or.reduce([part.within(start, shape) for part in parts]))


def common_box(parts: Iterable[Part]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Start and shape of the smallest box that holds the parts, of which one at least holds something."""
    parts = [part for part in parts if part.array.size]
    starts = [part.start_zyx for part in parts]
    ends = [[s + n for s, n in zip(part.start_zyx, part.array.shape, strict=True)] for part in parts]
    start = tuple(min(axis) for axis in zip(*starts, strict=True))
    end = [max(axis) for axis in zip(*ends, strict=True)]
    return start, tuple(e - s for s, e in zip(start, end, strict=True))


def _nothing() -> Part:
    import numpy as np

    return Part((0, 0, 0), np.zeros((0, 0, 0), bool))


def _part_of(image) -> Part:
    from vtk.util.numpy_support import vtk_to_numpy

    low_x, high_x, low_y, high_y, low_z, high_z = image.GetExtent()
    shape = (high_z - low_z + 1, high_y - low_y + 1, high_x - low_x + 1)
    return Part((low_z, low_y, low_x), vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) > 0)


def _box_of(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box around what is true; of no size where nothing is."""
    import numpy as np

    planes = np.any(mask, axis=2)
    lines = (planes.any(axis=1), planes.any(axis=0), mask.any(axis=(0, 1)))
    inside = [np.flatnonzero(line) for line in lines]
    z, y, x = (slice(int(i[0]), int(i[-1]) + 1) if i.size else slice(0, 0) for i in inside)
    return z, y, x


def mask_of(node, segment_ids: Iterable[str], reference) -> np.ndarray:
    """Bool ``(z, y, x)`` on the grid of the volume ``reference``: where any of the segments is, hidden or not."""
    frame = Frame(node, reference)
    return frame.part(segment_ids).within((0, 0, 0), frame.shape_zyx)


def label_array(node, reference) -> np.ndarray:
    """The schema's values, uint8 ``(z, y, x)``, on the grid of ``reference``: by segment, never by what is visible.

    Where segments overlap, the inner tissue holds the voxel (``voxmmsd.labels.PRECEDENCE``), whatever the segments'
    order. Segments without a value are left out.
    """
    import numpy as np

    schema, segmentation, frame = schema_of(node), node.GetSegmentation(), Frame(node, reference)
    parts = {}
    for label in schema.labels:
        ids = [i for i in segmentation.GetSegmentIDs() if value_of(segmentation.GetSegment(i)) == label.value]
        parts[label.key] = frame.part(ids)
    labels = np.zeros(frame.shape_zyx, np.uint8)
    if any(part.array.size for part in parts.values()):
        start, shape = common_box(parts.values())
        masks = {key: part.within(start, shape) for key, part in parts.items()}
        box = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
        labels[box] = values_from_indices(indices_from_masks(masks, schema), schema)
    return labels


def segments_by_value(node) -> dict[int, list[str]]:
    """Label value -> ids of the segments that have it."""
    segmentation = node.GetSegmentation()
    found: dict[int, list[str]] = {}
    for segment_id in segmentation.GetSegmentIDs():
        value = value_of(segmentation.GetSegment(segment_id))
        if value is not None:
            found.setdefault(value, []).append(segment_id)
    return found


def without_value(node) -> list[str]:
    """Names of segments that the user added: they mean nothing in the schema."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()]
    return [segment.GetName() for segment in segments if value_of(segment) is None]


def set_mask(node, segment_id: str, mask: np.ndarray, reference) -> None:
    """Make a segment what ``mask`` ``(z, y, x)`` says on the grid of the volume ``reference``; no node is made."""
    import numpy as np

    Frame(node, reference).put(segment_id, Part((0, 0, 0), np.asarray(mask, bool)).cropped())
