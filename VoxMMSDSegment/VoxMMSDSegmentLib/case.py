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
from VoxMMSDLib.volumes import core_volume, export_mask, export_volume, refuse_bent

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
        """Write the images for the core; its command line's options.

        Raises:
            InputError: an image cannot be written, or the result's grid would be bent.
        """
        refuse_bent(self.reference_node)
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
    """What a search came to: modality -> volume node; modalities that several volumes laid claim to; those told by
    their voxels alone; the brain mask, where one is named so."""

    volumes: dict[str, Any] = field(default_factory=dict)
    doubtful: list[str] = field(default_factory=list)
    by_content: list[str] = field(default_factory=list)
    brain_mask: Any = None


def find_volumes(beside: Any = None) -> Found:
    """The four modalities among the volumes of one study, by their names and DICOM tags, the rest by their voxels.

    ``beside``: a volume whose study is searched; by default the study of the newest volume. Volumes without a telling
    name fill what the names left empty, where it is sure.
    """
    found, nameless = Found(), []
    for node in _volumes_of_study(beside):
        kind, key = told(node)
        if kind == "brain_mask":
            found.brain_mask = node
        elif kind != "modality":
            nameless += [node] if kind == "unknown" and not node.IsA("vtkMRMLLabelMapVolumeNode") else []
        elif key in found.volumes:
            found.doubtful.append(key)
        else:
            found.volumes[key] = node
    free = [key for key in MODALITIES if key not in found.volumes]
    for key, node in _by_content(nameless, free).items():
        found.volumes[key] = node
        found.by_content.append(key)
    return found


def told(node) -> tuple[str, str]:
    """What a volume's name and DICOM tags tell: kind (``modality``, ``brain_mask``, ``unknown`` ...) and modality."""
    from voxmmsd.data.dicom_cases import modality_of_tags
    from voxmmsd.data.naming import read_name

    if tags := _dicom_tags(node):
        key, _why = modality_of_tags(tags, node.GetName())
        return ("modality", key) if key else ("unknown", "")
    reading = read_name(node.GetName())
    return reading.kind, reading.modality or ""


def _by_content(nodes: list[Any], free: list[str]) -> dict[str, Any]:
    """Modality -> volume, of those that surely look like one of ``free``; heads with their skull look like none."""
    from voxmmsd.preflight.check import with_skull
    from voxmmsd.preflight.modality import dealt, recognize

    arrays = [slicer.util.arrayFromVolume(node) for node in nodes if node.GetImageData() is not None]
    seen = {i: array for i, array in enumerate(arrays) if array.ndim == 3 and (array > 0).any()}
    heads = with_skull({str(i): core_volume(nodes[i]) for i in seen})
    brains = [i for i in seen if str(i) not in heads]
    if len(brains) <= len(free):
        keys = dealt([seen[i] for i in brains], free)
        return {key: nodes[i] for i, key in zip(brains, keys, strict=True) if key}
    alone = {i: recognize(seen[i]) for i in brains}
    sure = {one.modality: nodes[i] for i, one in alone.items() if one.confidence >= SURE_BY_CONTENT}
    return {key: node for key, node in sure.items() if key in free}


def _volumes_of_study(beside: Any) -> list[Any]:
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _may_be_input(node)]
    images = [node for node in nodes if not node.IsA("vtkMRMLLabelMapVolumeNode")]
    if not images:
        return []
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = _study(tree, beside or images[-1])
    return [node for node in nodes if _study(tree, node) == study]


def _may_be_input(node) -> bool:
    return not node.GetHideFromEditors() and not node.GetAttribute(OURS)


OURS = "VoxMMSD.Derived"  # marks nodes that are made here and never an input


def _study(tree, node) -> int:
    item = tree.GetItemByDataNode(node)
    return tree.GetItemParent(item) if item else tree.GetSceneItemID()


def _dicom_tags(node) -> dict[str, str]:
    """The tags by which the core tells a series; empty where Slicer's DICOM database does not know the volume."""
    from voxmmsd.data.dicom import TAGS

    uid = (node.GetAttribute("DICOM.instanceUIDs") or "").partition(" ")[0]
    database = getattr(slicer, "dicomDatabase", None)
    if not uid or database is None or not database.isOpen or not database.fileForInstance(uid):
        return {}
    return {name: database.instanceValue(uid, key.replace("|", ",")).strip() for name, key in TAGS.items()}
