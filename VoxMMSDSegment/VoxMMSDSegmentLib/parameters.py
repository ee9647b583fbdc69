"""What is chosen about a case: kept in the parameter node, so that a saved scene brings it back.

What belongs to the computer (device, memory, folders) is in ``VoxMMSDLib.settings``.
"""

from __future__ import annotations

from typing import Union

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """``reference``: modality whose grid the result has, empty for the core's choice. ``fromScanner``: align the images
    and extract the brain first. ``n4``: remove bias fields first. ``intermediates``: resampled images are wanted as
    volumes. ``model``: id, empty for the newest accepted one. ``result``: of the last run, or the one chosen for
    review."""

    t1n: vtkMRMLScalarVolumeNode
    t1c: vtkMRMLScalarVolumeNode
    t2w: vtkMRMLScalarVolumeNode
    t2f: vtkMRMLScalarVolumeNode
    # Slicer makes a node of each class to ask for its name, which an abstract one refuses, and knows no "|" here.
    brainMask: Union[vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007
    reference: str = ""
    operated: bool = False
    align: bool = False
    fromScanner: bool = False
    n4: bool = False
    intermediates: bool = False
    model: str = ""
    result: vtkMRMLSegmentationNode
