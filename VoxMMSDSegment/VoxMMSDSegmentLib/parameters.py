"""What is chosen about a case: kept in the parameter node, so that a saved scene brings it back.

What belongs to the computer (device, memory, folders) is in ``VoxMMSDLib.settings``.
"""

from __future__ import annotations

from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """``reference``: modality whose grid the result has, empty for the core's choice. ``intermediates``: resampled
    images are wanted as volumes. ``model``: id, empty for the newest accepted one. ``result``: of the last run, or the
    one chosen for review."""

    t1n: vtkMRMLScalarVolumeNode
    t1c: vtkMRMLScalarVolumeNode
    t2w: vtkMRMLScalarVolumeNode
    t2f: vtkMRMLScalarVolumeNode
    brainMask: vtkMRMLNode
    reference: str = ""
    operated: bool = False
    align: bool = False
    intermediates: bool = False
    model: str = ""
    result: vtkMRMLSegmentationNode
