"""The brain mask that was made for a result: a segmentation, shown as an outline, to be corrected and used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.colors import BRAIN_COLOR
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import Frame, Part
from VoxMMSDLib.volumes import LABELS, read_steps, remove_whole
from VoxMMSDSegmentLib.case import OURS

BRAIN_MASK = "VoxMMSD.BrainMask"  # node reference of a result
MADE_HERE = "brain mask"  # value of the attribute OURS, until the user takes it for an input
BRAIN = "Brain"
_LIST = "Segmentation category and type - DICOM master list"
_TERM = f"{_LIST}~SCT^123037004^Anatomical Structure~SCT^12738006^Brain~^^~Anatomic codes - DICOM master list~^^~^^"


def mask_steps(file: Path, name: str, reference: Any) -> Steps:
    """A mask that the core has written, on the grid of ``reference``, as a segmentation of one outlined segment."""
    import numpy as np

    labels = yield from read_steps(file, name, LABELS)
    part = Part((0, 0, 0), slicer.util.arrayFromVolume(labels) > 0).cropped()
    part = Part(part.start_zyx, np.array(part.array))  # no view of voxels that go with their node
    remove_whole(labels)
    yield
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetName(name)  # given with the class, a name that is there already would get a number
    node.SetAttribute(OURS, MADE_HERE)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility3D(False)  # it would hide the tumor
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segment = slicer.vtkSegment()
    segment.SetName(_("Brain"))
    segment.SetColor(*(value / 255 for value in BRAIN_COLOR))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), _TERM)
    node.GetSegmentation().AddSegment(segment, BRAIN)
    Frame(node, reference).put(BRAIN, part)
    return node


def mask_of_result(result: Any) -> Any:
    """The segmentation of a result's brain mask; None where it has none, or a volume."""
    mask = result.GetNodeReference(BRAIN_MASK) if result is not None else None
    return mask if mask is not None and mask.IsA("vtkMRMLSegmentationNode") else None


def show_mask(result: Any, shown: bool) -> None:
    mask = mask_of_result(result)
    if mask is not None and mask.GetDisplayNode() is not None:
        mask.GetDisplayNode().SetVisibility(shown)


def adopt(mask: Any) -> None:
    """The user takes a mask for an input: from now on it is a node like any other."""
    mask.RemoveAttribute(OURS)
