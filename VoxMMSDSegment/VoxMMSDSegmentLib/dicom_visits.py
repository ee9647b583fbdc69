"""Whose a result is and of which day, as Slicer's data tree tells of images that were loaded from DICOM."""

from __future__ import annotations

from datetime import date
from typing import Any

import slicer

from VoxMMSDSegmentLib.result import reference_of

_NAMES = slicer.vtkMRMLSubjectHierarchyConstants


def patient_of(result: Any) -> str:
    """DICOM's number of the patient, which is shown nowhere; empty where the image has none."""
    stated = _attribute(result, _NAMES.GetDICOMLevelPatient(), _NAMES.GetDICOMPatientIDAttributeName())
    if not stated:
        return ""
    from voxmmsd.data.formats.dicom import patient_number

    return patient_number(stated)


def day_of(result: Any) -> date | None:
    """The day of the study."""
    stated = _attribute(result, _NAMES.GetDICOMLevelStudy(), _NAMES.GetDICOMStudyDateAttributeName())
    try:
        return date(int(stated[:4]), int(stated[4:6]), int(stated[6:])) if len(stated) == 8 else None
    except ValueError:  # a day that no month has, as some anonymizers write
        return None


def _attribute(result: Any, level: str, name: str) -> str:
    reference = reference_of(result)
    if reference is None:
        return ""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = tree.GetItemAncestorAtLevel(tree.GetItemByDataNode(reference), level)
    return tree.GetItemAttribute(item, name) if item else ""
