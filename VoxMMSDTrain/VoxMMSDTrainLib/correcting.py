"""Slicer's Segment Editor on the labels of a case."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from VoxMMSDTrainLib.library_case import opened_volumes, reference_of, shown_first


def open_editor(node) -> None:
    """Go to the module Segment Editor with this segmentation over the image that shows the tumor best.

    Left to itself the editor takes the first segmentation of the scene, and the image that gave the geometry.

    Raises:
        InputError: Slicer runs without a main window.
    """
    try:
        slicer.util.selectModule("SegmentEditor")
    except RuntimeError as error:
        raise InputError(
            _("There is no main window to open the Segment Editor in"), _("start Slicer with its window")
        ) from error
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    editor.setSegmentationNode(node)
    volumes = opened_volumes()
    editor.setSourceVolumeNode(shown_first(volumes) if volumes else reference_of(node))
