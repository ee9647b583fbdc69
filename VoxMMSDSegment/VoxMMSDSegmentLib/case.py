"""A case as Slicer holds it: which volume is which modality, and how to find that out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.background import at_once
from VoxMMSDLib.volumes import Write, ijk_to_world, mask_write, refuse_bent, refuse_empty, volume_write

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
    from_scanner: bool = False

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.volumes) - set(MODALITIES)):
            raise InputError(f"no modality {', '.join(unknown)}", f"give {', '.join(MODALITIES)}")
        if not self.volumes:
            raise InputError(_("no image is chosen"), _("choose at least one of T1, T1 post-contrast, T2 and FLAIR"))
        if self.reference and self.reference not in self.volumes:
            raise InputError(
                _("the result should have the grid of {name}, which is not chosen").format(name=self.reference),
                _("choose that image, too, or another grid"),
            )

    @property
    def reference_key(self) -> str:
        """The modality whose grid the result has: the one asked for, else T1 post-contrast, else the finest."""
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
        options, writes = at_once(self.writes(folder))
        for write in writes:
            write()
        return options

    def refuse_unusable(self) -> None:
        """Raises InputError: an image is empty, or the result's grid would be bent."""
        refuse_bent(self.reference_node)
        for node in self.volumes.values():
            refuse_empty(node)

    def writes(self, folder: Path) -> Generator[None, None, tuple[list[str], list[Write]]]:
        """Take the images out of the scene, one a step: the core's options, and what writes the images in a thread.

        Raises:
            InputError: an image is empty, or the result's grid would be bent.
        """
        self.refuse_unusable()
        options, writes = ["--id", CASE_ID, "--reference", self.reference_key], []
        for key, node in self.volumes.items():
            options += [f"--{key}", str(folder / f"{key}.nii")]
            writes.append(volume_write(node, folder / f"{key}.nii"))
            yield
        if self.brain_mask is not None:
            options += ["--brain-mask", str(folder / "brain-mask.nii")]
            writes.append(mask_write(self.brain_mask, self.reference_node, folder / "brain-mask.nii"))
            yield
        switches = {"postoperative": self.operated, "align": self.align, "from-scanner": self.from_scanner}
        return [*options, *(f"--{name}" for name, is_on in switches.items() if is_on)], writes


def _voxel_volume(node) -> float:
    x, y, z = node.GetSpacing()
    return x * y * z


@dataclass
class Found:
    """What a search came to: modality -> volume node; modalities that several volumes laid claim to; those told by
    their voxels alone; the brain mask, where one is named so; whether it went through several studies of one day."""

    volumes: dict[str, Any] = field(default_factory=dict)
    doubtful: list[str] = field(default_factory=list)
    by_content: list[str] = field(default_factory=list)
    brain_mask: Any = None
    of_one_day: bool = False


def find_volumes(beside: Any = None) -> Found:
    """The four modalities among the volumes of one study, by their names and DICOM tags, the rest by their voxels.

    ``beside``: a volume whose study is searched; by default the study of the newest volume. Where each DICOM series has
    a study of its own, those of the patient and the day are searched. Volumes without a telling name fill what the
    names left empty, where it is sure.
    """
    return search(beside)()


def search(beside: Any = None) -> Callable[[], Found]:
    """As ``find_volumes``, in two halves: what the scene holds is taken here, the rest may be done in a thread."""
    nodes = _volumes_of_study(beside)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    of_one_day = len({_study(tree, node) for node in nodes}) > 1
    seen = [Seen.of(node) for node in nodes]
    return lambda: replace(_found(seen), of_one_day=of_one_day)


@dataclass(frozen=True)
class Seen:
    """A volume node with what a thread may look at: name and tags, and its voxels where those tell nothing."""

    node: Any
    name: str
    tags: Mapping[str, str]
    array: Any
    affine_xyz: Any

    @classmethod
    def of(cls, node: Any) -> Seen:
        from voxmmsd.data.finding.naming import read_name

        tags, is_empty = _dicom_tags(node), node.GetImageData() is None
        is_telling = not tags and read_name(node.GetName()).kind != "unknown"
        if is_telling or is_empty or node.IsA("vtkMRMLLabelMapVolumeNode"):
            return cls(node, node.GetName(), tags, None, None)
        return cls(node, node.GetName(), tags, slicer.util.arrayFromVolume(node).copy(), ijk_to_world(node))

    @classmethod
    def of_name(cls, node: Any) -> Seen:
        """Without voxels."""
        return cls(node, node.GetName(), _dicom_tags(node), None, None)

    def kind(self) -> tuple[str, str]:
        """What name and tags tell: kind (``modality``, ``brain_mask``, ``unknown`` ...) and modality."""
        from voxmmsd.data.finding.naming import read_name

        if self.tags:
            from voxmmsd.data.finding.dicom_cases import modality_of_tags

            key, _why = modality_of_tags(self.tags, self.name)
            return ("modality", key) if key else ("unknown", "")
        reading = read_name(self.name)
        return reading.kind, reading.modality or ""


def kind_of_volume(node) -> tuple[str, str]:
    """What a volume's name and DICOM tags tell: kind (``modality``, ``brain_mask``, ``unknown`` ...) and modality."""
    return Seen.of_name(node).kind()


def _found(volumes: list[Seen]) -> Found:
    found, nameless = Found(), []
    for seen in volumes:
        kind, key = seen.kind()
        if kind == "brain_mask":
            found.brain_mask = seen.node
        elif kind != "modality":
            nameless += [seen] if kind == "unknown" and seen.array is not None else []
        elif key in found.volumes:
            found.doubtful.append(key)
        else:
            found.volumes[key] = seen.node
    free = [key for key in MODALITIES if key not in found.volumes]
    if nameless and free:
        for key, node in _by_content(nameless, free).items():
            found.volumes[key] = node
            found.by_content.append(key)
    return found


def _by_content(nameless: list[Seen], free: list[str]) -> dict[str, Any]:
    """Modality -> volume, of those that surely look like one of ``free``; heads with their skull look like none."""
    from voxmmsd.data.brain_mask import skull_volumes_ml
    from voxmmsd.data.volume import Grid, Volume
    from voxmmsd.preflight.modality import assign_modalities, recognize

    filled = {i: one for i, one in enumerate(nameless) if one.array.ndim == 3 and (one.array > 0).any()}
    volumes = {str(i): Volume(one.array, Grid(one.array.shape, one.affine_xyz)) for i, one in filled.items()}
    heads = skull_volumes_ml(volumes)
    brains = [i for i in filled if str(i) not in heads]
    if len(brains) <= len(free):
        keys = assign_modalities([filled[i].array for i in brains], free)
        return {key: filled[i].node for i, key in zip(brains, keys, strict=True) if key}
    alone = {i: recognize(filled[i].array) for i in brains}
    sure = {one.modality: filled[i].node for i, one in alone.items() if one.confidence >= SURE_BY_CONTENT}
    return {key: node for key, node in sure.items() if key in free}


def _volumes_of_study(beside: Any) -> list[Any]:
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _may_be_input(node)]
    images = [node for node in nodes if not node.IsA("vtkMRMLLabelMapVolumeNode")]
    if not images:
        return []
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    chosen = beside or images[-1]
    together = _studies_of_its_day(tree, nodes, chosen) or {_study(tree, chosen)}
    return [node for node in nodes if _study(tree, node) in together]


def _studies_of_its_day(tree, nodes: Sequence[Any], chosen: Any) -> set[int]:
    """As the core joins them: some archives give each series a study of its own. Empty where that is not so."""
    day = _patient_and_day(chosen)
    same = [_study(tree, node) for node in nodes if day is not None and _patient_and_day(node) == day]
    return set(same) if len(set(same)) == len(same) else set()


def _patient_and_day(node: Any) -> tuple[str, str] | None:
    """Of a volume from DICOM; None where its tags do not tell both."""
    tags = _dicom_tags(node)
    if not tags:
        return None
    from voxmmsd.data.formats.dicom import patient_number

    patient_and_day = (patient_number(tags.get("patient_id", "")), tags.get("study_date", ""))
    return patient_and_day if all(patient_and_day) else None


def _may_be_input(node) -> bool:
    return not node.GetHideFromEditors() and not node.GetAttribute(OURS)


OURS = "VoxMMSD.Derived"  # marks nodes that are made here and never an input


def _study(tree, node) -> int:
    item = tree.GetItemByDataNode(node)
    return tree.GetItemParent(item) if item else tree.GetSceneItemID()


def _dicom_tags(node) -> dict[str, str]:
    """The tags by which the core tells a series; empty where Slicer's DICOM database does not know the volume."""
    uid = (node.GetAttribute("DICOM.instanceUIDs") or "").partition(" ")[0]
    database = getattr(slicer, "dicomDatabase", None)
    if not uid or database is None or not database.isOpen or not database.fileForInstance(uid):
        return {}
    from voxmmsd.data.formats.dicom import TAGS

    return {name: database.instanceValue(uid, key.replace("|", ",")).strip() for name, key in TAGS.items()}
