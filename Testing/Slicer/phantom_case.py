"""A synthetic patient as Slicer nodes, and a result made of its true labels: for tests that need no child process."""

from pathlib import Path

import slicer
import vtk

from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.labels import MODALITIES
from voxmmsd.phantom import make_phantom
from voxmmsd.records.findings import Finding
from voxmmsd.records.result import ModelUsed, ResultRecord
from VoxMMSDSegmentLib.case import SlicerCase
from VoxMMSDSegmentLib.job import ResultFiles
from VoxMMSDSegmentLib.result import make_result

TOY_MODEL = Path(__file__).parent / "toy-model.zip"
PLACES = [
    {
        "position_ras_mm": [5.0, 4.0, 3.0],
        "size_ml": 0.4,
        "labels": ["ET", "background"],
        "effect_ml": {"WT": 0.3, "ET": 0.2},
    },
    {"position_ras_mm": [-2.0, 1.0, 6.0], "size_ml": 0.2, "labels": ["ED", "NCR"], "effect_ml": {"WT": 0.0, "TC": 0.1}},
]


def phantom(seed=7, side=48):
    return make_phantom(seed, (side, side, side))


def add_volumes(made, modalities=MODALITIES, prefix="visit1"):
    """Modality -> volume node of a phantom."""
    matrix = slicer.util.vtkMatrixFromArray(made.grid.affine_xyz)
    return {
        key: slicer.util.addVolumeFromArray(made.image_czyx[MODALITIES.index(key)], matrix, f"{prefix} {key}")
        for key in modalities
    }


def add_result(made, volumes, folder, review=PLACES, findings=()):
    """A result whose segments are the phantom's tumor."""
    return make_result(SlicerCase(volumes), result_files(made, folder, review, findings))


def result_files(made, folder, review=PLACES, findings=()):
    """What the core would write, had it found the phantom's tumor."""
    labels = Path(folder) / "labels.nii.gz"
    write_nifti(labels, made.label_zyx, made.grid)
    uncertainty = Path(folder) / "uncertainty.nii.gz"
    write_nifti(uncertainty, (made.label_zyx > 0).astype("uint8"), made.grid)
    record = ResultRecord(
        made.schema.name,
        model=ModelUsed("toy-model-1"),
        review=tuple(review),
        volumes_ml=true_ml(made),
        findings=tuple(Finding.of_line(line) for line in findings),
    )
    return ResultFiles(record, labels, uncertainty, {})


def true_ml(made):
    """Volume in ml by key of each label and region, counted."""
    voxel = made.grid.voxel_volume_ml
    by_label = {label.key: float((made.label_zyx == label.value).sum()) * voxel for label in made.schema.labels}
    by_region = {
        region.key: sum(by_label[label.key] for label in made.schema.labels if label.value in region.values)
        for region in made.schema.regions
    }
    return {**by_label, **by_region}


def paint(result, segment_id, mask, reference):
    """What the segment editor's Paint does, and its Overwrite all: the other segments lose these voxels."""
    from VoxMMSDLib.segments import mask_of, set_mask

    segmentation = result.GetSegmentation()
    for other in segmentation.GetSegmentIDs():
        kept = mask_of(result, [other], reference)
        set_mask(result, other, kept | mask if other == segment_id else kept & ~mask, reference)


def moved(node, x=10.0, y=-4.0, z=3.0):
    """Put a node under a translation; the transform node."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    for row, value in enumerate((x, y, z)):
        matrix.SetElement(row, 3, value)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def table_rows(node):
    return [[node.GetCellText(row, column) for column in range(3)] for row in range(node.GetNumberOfRows())]
