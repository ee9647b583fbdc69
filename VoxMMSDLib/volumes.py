"""Volume nodes to files and to the core's volumes; the user's nodes keep their storage, transform and name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import mask_of

if TYPE_CHECKING:
    from voxmmsd.data.volume import Volume


SCALAR, LABELS = "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"
WINDOW_PERCENTILES, STRIDE = (0.1, 99.9), 2  # of every second voxel along each axis

Write = Callable[[], object]
"""Writes what was taken out of MRML before: may be called in a thread. Raises InputError where it cannot."""


def write_each(writes: Iterable[Write], is_ended: Callable[[], bool]) -> bool:
    """Write one after the other, in a thread; False where ``is_ended`` came between, for the rest is of no use then."""
    for write in writes:
        if is_ended():
            return False
        write()
    return True


def export_volume(node, file: Path) -> Path:
    """Write a volume node as NIfTI in world coordinates: a parent transform is applied to the file, not to the node.

    Raises:
        InputError: the node has no image, or cannot be written.
    """
    volume_write(node, file)()
    return file


def export_mask(node, reference, file: Path) -> Path:
    """Write a brain mask, given as a volume or as a segmentation (all its segments, hidden ones too).

    Raises:
        InputError: it holds nothing, or cannot be written.
    """
    mask_write(node, reference, file)()
    return file


def volume_write(node, file: Path) -> Write:
    """What writes a volume as it is now. Only what Slicer alone can write, since it is bent, is written at once.

    Raises:
        InputError: the node has no image, or is bent and cannot be written.
    """
    refuse_empty(node)
    array = slicer.util.arrayFromVolume(node)
    if is_bent(node) or array.ndim != 3:
        export_by_slicer(node, file, compressed=False)
        return lambda: None
    return array_write(array.copy(), ijk_to_world(node), file, node.GetName())


def mask_write(node, reference, file: Path) -> Write:
    """As ``volume_write``, of a brain mask: a volume, or a segmentation on the grid of ``reference``."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return volume_write(node, file)
    mask = mask_of(node, node.GetSegmentation().GetSegmentIDs(), reference)
    if not mask.any():
        raise InputError(
            _("{name}: contains no segment that could be the brain").format(name=node.GetName()),
            _("choose another segmentation, or draw the brain in it"),
        )
    return array_write(mask.astype("uint8"), ijk_to_world(reference), file, node.GetName())


def array_write(array, affine_xyz, file: Path, name: str) -> Write:
    """What writes voxels ``(z, y, x)`` as NIfTI; ``name`` is what an error calls them."""

    def write() -> None:
        from voxmmsd.data.formats.writing import write_nifti
        from voxmmsd.data.volume import Grid

        try:
            write_nifti(file, _as_nifti_holds(array), Grid(array.shape, affine_xyz))
        except OSError as error:
            raise _not_written(name, file) from error

    return write


def _as_nifti_holds(array):
    """Whole numbers of 64 bits are no type that other programs read."""
    return array.astype("float64") if array.dtype.kind in "iu" and array.dtype.itemsize > 4 else array


def export_by_slicer(node, file: Path, *, compressed: bool) -> None:
    """Write a node by Slicer in world coordinates; the file's ending chooses the format. The node stays as it is.

    Raises:
        InputError: Slicer knows no such format, or cannot write the file.
    """
    had_storage = node.GetStorageNode() is not None
    try:
        is_written = slicer.util.exportNode(node, str(file), {"useCompression": int(compressed)}, world=True)
    except ValueError as error:
        raise InputError(
            _("{file}: an unknown format").format(file=file.name), _("end the name in .nii.gz or .nrrd")
        ) from error
    finally:
        # Slicer asks an empty storage node for the formats, and leaves it in the scene.
        if not had_storage and (storage := node.GetStorageNode()) is not None:
            slicer.mrmlScene.RemoveNode(storage)
    if not is_written:
        raise _not_written(node.GetName(), file)


def _not_written(name: str, file: Path) -> InputError:
    problem = _("{name}: cannot be written to {folder}").format(name=name, folder=file.parent)
    return InputError(problem, _("check whether the disk is full, or choose another folder"))


def read_steps(file: Path, name: str, kind: str = SCALAR) -> Steps:
    """A file that the core has written, as a volume that no view shows; it is read in a thread.

    Raises:
        InputError: it cannot be read.
    """
    volume, window = yield lambda: _read(file)
    node = slicer.mrmlScene.AddNewNodeByClass(kind)
    node.SetName(name)  # given with the class, a name that is there already would get a number
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.grid.affine_xyz))
    if kind == SCALAR:  # Slicer itself would look through all voxels for a window, and block
        _display(node, window)
    slicer.util.updateVolumeFromArray(node, volume.array)
    node.CreateDefaultDisplayNodes()
    return node


def _read(file: Path) -> tuple[Volume, tuple[float, float]]:
    """In a thread: a volume, and the window in which it is to be seen."""
    import numpy as np

    from voxmmsd.data.formats.sources import Source, read_volume

    volume = read_volume(Source(file))
    low, high = np.percentile(volume.array[::STRIDE, ::STRIDE, ::STRIDE], WINDOW_PERCENTILES)
    return volume, (float(low), float(high))


def _display(node, window: tuple[float, float]) -> None:
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*window)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    node.SetAndObserveDisplayNodeID(display.GetID())


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


def refuse_empty(node) -> None:
    """Raises InputError: the volume has no voxels."""
    if node.GetImageData() is None:
        raise InputError(_("{name}: has no image").format(name=node.GetName()), _("load it again"))


def refuse_bent(node) -> None:
    """Raises InputError: the volume whose grid the result is to have lies under a transform that is not linear."""
    if is_bent(node):
        raise InputError(
            _("{name}: has a nonlinear transform, so a result cannot share its voxel grid").format(name=node.GetName()),
            _("harden the transform of a copy, or choose another image for the result"),
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


def voxel_ml(node) -> float:
    """Volume of a voxel in the world, as the core sees it: a transform may scale."""
    import numpy as np

    return abs(float(np.linalg.det(ijk_to_world(node)[:3, :3]))) / 1000.0


def remove_whole(node) -> None:
    """Take a node out of the scene with its display and storage nodes, which would stay there, and be saved."""
    own = []
    for kind in ("DisplayNode", "StorageNode"):
        count = getattr(node, f"GetNumberOf{kind}s", lambda: 0)()
        own += [getattr(node, f"GetNth{kind}")(number) for number in range(count)]
    for one in (node, *own):  # Slicer itself takes some of them along
        if one is not None and slicer.mrmlScene.IsNodePresent(one):
            slicer.mrmlScene.RemoveNode(one)
