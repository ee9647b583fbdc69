"""A case as Slicer holds it: which volume is which modality, and how to find that out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.volumes import export_mask, export_volume

SURE_BY_CONTENT = 0.97
CASE_ID = "case"  # of the files that the core sees: nothing of the patient


@dataclass(frozen=True)
class SlicerCase:
    """``volumes``: modality -> volume node, only those there are. ``brain_mask``: a volume or a segmentation node."""

    volumes: Mapping[str, Any]
    brain_mask: Any = None
    reference: str = ""
    operated: bool = False
    align: bool = False

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.volumes) - set(MODALITIES)):
            raise InputError(f"no modality {', '.join(unknown)}: give {', '.join(MODALITIES)}")
        if not self.volumes:
            raise InputError(_("no image is chosen: choose at least one of T1, T1 contrast, T2 and FLAIR"))
        if self.reference and self.reference not in self.volumes:
            raise InputError(
                _("the result is to have the grid of {name}, which is not chosen").format(name=self.reference)
            )

    @property
    def reference_key(self) -> str:
        """The modality whose grid the result has: the one asked for, else T1 contrast, else the finest."""
        if self.reference:
            return self.reference
        if "t1c" in self.volumes:
            return "t1c"
        return min(self.volumes, key=lambda key: _voxel_volume(self.volumes[key]))

    @property
    def reference_node(self) -> Any:
        return self.volumes[self.reference_key]

    def export(self, folder: Path) -> list[str]:
        """Write the images for the core; its command line's options."""
        options = ["--id", CASE_ID, "--reference", self.reference_key]
        for key, node in self.volumes.items():
            options += [f"--{key}", str(export_volume(node, folder / f"{key}.nii"))]
        if self.brain_mask is not None:
            mask = export_mask(self.brain_mask, self.reference_node, folder / "brain-mask.nii")
            options += ["--brain-mask", str(mask)]
        options += ["--operated"] * self.operated + ["--align"] * self.align
        return options


def _voxel_volume(node) -> float:
    x, y, z = node.GetSpacing()
    return x * y * z


@dataclass
class Found:
    """What a search came to: modality -> volume node, and where two volumes laid claim to one modality."""

    volumes: dict[str, Any] = field(default_factory=dict)
    doubtful: list[str] = field(default_factory=list)


def find_volumes(beside: Any = None) -> Found:
    """The four modalities among the volumes of one study, by their names and DICOM descriptions.

    ``beside``: a volume whose study is searched; by default the study of the newest volume. Volumes without a telling
    name are told by their voxels, where that is sure, and fill what the names left empty.
    """
    from voxmmsd.data.naming import read_name

    found, nameless = Found(), []
    for node in _volumes_of_study(beside):
        key = read_name(_telling_name(node)).modality
        if key not in MODALITIES:
            nameless.append(node)
        elif key in found.volumes:
            found.doubtful.append(key)
        else:
            found.volumes[key] = node
    for node in nameless:
        if (key := _by_content(node)) and key not in found.volumes:
            found.volumes[key] = node
    return found


def _by_content(node) -> str:
    """The sequence that a volume without a telling name looks like; empty where that is not sure."""
    from voxmmsd.preflight.modality import recognize

    array = slicer.util.arrayFromVolume(node)
    if array.ndim != 3 or not (array > 0).any():
        return ""
    recognized = recognize(array)
    return recognized.modality if recognized.confidence >= SURE_BY_CONTENT else ""


def _volumes_of_study(beside: Any) -> list[Any]:
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _may_be_input(node)]
    if not nodes:
        return []
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = _study(tree, beside or nodes[-1])
    return [node for node in nodes if _study(tree, node) == study]


def _may_be_input(node) -> bool:
    return not node.GetHideFromEditors() and not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetAttribute(OURS)


OURS = "VoxMMSD.Derived"  # marks nodes that are made here and never an input


def _study(tree, node) -> int:
    item = tree.GetItemByDataNode(node)
    return tree.GetItemParent(item) if item else tree.GetSceneItemID()


def _telling_name(node) -> str:
    """The DICOM series' description where there is one, else the node's name."""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = tree.GetItemByDataNode(node)
    return (tree.GetItemAttribute(item, "DICOM.SeriesDescription") if item else "") or node.GetName()
