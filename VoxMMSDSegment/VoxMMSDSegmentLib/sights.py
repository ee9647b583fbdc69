"""Views brought to the tumor: slices to its largest extent, the 3-D view's camera around its middle."""

from __future__ import annotations

from typing import Any

import slicer

from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import Frame, Part, value_of
from VoxMMSDLib.volumes import ijk_to_world


def jump_to_tumor(result: Any, reference: Any) -> Steps:
    """Move each slice view to the slice that shows most of the tumor, one view a step; without a tumor they stay."""
    part = _tumor(result, reference)
    if not part.array.size:
        return
    place = _in_world(reference, largest_slices(part))
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        yield
        view.JumpSlice(*place)


def largest_slices(part: Part) -> tuple[float, float, float]:
    """Index (z, y, x) of the slice along each axis that holds most of a mask."""
    z, y, x = (
        int(part.array.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) + start
        for axis, start in enumerate(part.start_zyx)
    )
    return z, y, x


def center_3d(result: Any) -> None:
    """Let all cameras look at the middle of a result, from where they look."""
    bounds = [0.0] * 6
    result.GetRASBounds(bounds)
    if bounds[0] > bounds[1]:
        return
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    for camera in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        focus, position = camera.GetFocalPoint(), camera.GetPosition()
        camera.SetFocalPoint(middle)
        camera.SetPosition([p + m - f for p, m, f in zip(position, middle, focus, strict=True)])
        camera.ResetClippingRange()


def _tumor(result: Any, reference: Any) -> Part:
    segmentation = result.GetSegmentation()
    ids = [i for i in segmentation.GetSegmentIDs() if value_of(segmentation.GetSegment(i)) is not None]
    return Frame(result, reference).part(ids)


def _in_world(reference: Any, index_zyx: tuple[float, float, float]) -> list[float]:
    return [float(value) for value in (ijk_to_world(reference) @ [*reversed(index_zyx), 1.0])[:3]]
