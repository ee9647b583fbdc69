"""Volume nodes to files and to the core's volumes; the user's nodes keep their storage, transform and name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.errors import InputError

if TYPE_CHECKING:
    from voxmmsd.data.volume import Volume


def export_volume(node, file: Path) -> Path:
    """Write a volume node as NIfTI in world coordinates: a parent transform is applied to the file, not to the node.

    Raises:
        InputError: the node has no image, or cannot be written.
    """
    if node.GetImageData() is None:
        raise InputError(_("{name}: has no image; load it again").format(name=node.GetName()))
    if not slicer.util.exportNode(node, str(file), {"useCompression": 0}, world=True):
        raise InputError(_("{name}: cannot be written to {folder}; is the disk full?").format(
            name=node.GetName(), folder=file.parent))  # fmt: skip
    return file


def export_mask(node, reference, file: Path) -> Path:
    """Write a brain mask, given as a volume or as a segmentation (all its segments, hidden ones too)."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return export_volume(node, file)
    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "VoxMMSD temporary mask")
    labelmap.SetHideFromEditors(True)
    try:
        ids = vtk.vtkStringArray()
        for segment_id in node.GetSegmentation().GetSegmentIDs():
            ids.InsertNextValue(segment_id)
        logic = slicer.modules.segmentations.logic()
        if not logic.ExportSegmentsToLabelmapNode(node, ids, labelmap, reference):
            raise InputError(_("{name}: holds no segment to take for the brain").format(name=node.GetName()))
        return export_volume(labelmap, file)
    finally:
        _remove_with_colors(labelmap)


def core_volume(node) -> Volume:
    """The core's view of a volume node, in world coordinates where its transform is linear; voxels are not copied."""
    from voxmmsd.data.volume import Grid, Volume

    array = slicer.util.arrayFromVolume(node)
    return Volume(array, Grid(array.shape, ijk_to_world(node)))


def is_bent(node) -> bool:
    """Whether it lies under a transform that is not linear: its voxels lie on no straight grid of the world."""
    transform = node.GetParentTransformNode()
    return transform is not None and not transform.IsTransformToWorldLinear()


def hardened_copy(node):
    """A volume beside ``node`` in the data tree, in the place and shape in which that is seen, under no transform."""
    name = _("{name} hardened").format(name=node.GetName())
    copy = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, node, name)
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    slicer.vtkSlicerTransformLogic().hardenTransform(copy)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    tree.SetItemParent(tree.GetItemByDataNode(copy), tree.GetItemParent(tree.GetItemByDataNode(node)))
    return copy


def refuse_bent(node) -> None:
    """Raises InputError: the volume whose grid the result is to have lies under a transform that is not linear."""
    if is_bent(node):
        raise InputError(
            _(
                "{name}: lies under a transform that is not linear, so no result can have its voxels; "
                "harden the transform of a copy, or take another image for the result"
            ).format(name=node.GetName())
        )


def ijk_to_world(node):
    """4x4, voxel index (x, y, z) to RAS millimeters in the world."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None and transform.IsTransformToWorldLinear():
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        affine = slicer.util.arrayFromVTKMatrix(to_world) @ affine
    return affine


def remove_whole(node) -> None:
    """Take a node out of the scene with its display and storage nodes, which would stay there, and be saved."""
    own = []
    for kind in ("DisplayNode", "StorageNode"):
        count = getattr(node, f"GetNumberOf{kind}s", lambda: 0)()
        own += [getattr(node, f"GetNth{kind}")(number) for number in range(count)]
    for one in (node, *own):  # Slicer itself takes some of them along
        if one is not None and slicer.mrmlScene.IsNodePresent(one):
            slicer.mrmlScene.RemoveNode(one)


def _remove_with_colors(labelmap) -> None:
    display = labelmap.GetDisplayNode()
    if display is not None and display.GetColorNode() is not None:
        slicer.mrmlScene.RemoveNode(display.GetColorNode())
    remove_whole(labelmap)
