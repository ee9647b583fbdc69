"""Slicer's module Segment Editor, opened on a segmentation of ours."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError


def open_segment_editor(segmentation: Any, source: Any) -> None:
    """Go to the module with this segmentation over the volume ``source``, or over the editor's own choice if None.

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
    editor.setSegmentationNode(segmentation)
    if source is not None:
        editor.setSourceVolumeNode(source)
