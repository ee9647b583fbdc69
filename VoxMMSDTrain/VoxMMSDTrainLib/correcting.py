"""Slicer's Segment Editor on the labels of a case."""

from __future__ import annotations

from VoxMMSDLib.segment_editor import open_segment_editor
from VoxMMSDTrainLib.library_case import opened_volumes, reference_of, shown_first


def open_editor(node) -> None:
    """Go to the module Segment Editor with this segmentation over the image that shows the tumor best.

    Raises:
        InputError: Slicer runs without a main window.
    """
    volumes = opened_volumes()
    open_segment_editor(node, shown_first(volumes) if volumes else reference_of(node))
