"""Tiny patients for tests: images whose voxels can be told apart, written as any data set would have them."""

from pathlib import Path

import nibabel as nib
import numpy as np

MODALITY_FACTORS = {"t1n": 1.0, "t1c": 1.5, "t2w": 0.7, "t2f": 2.0}


def brain(shape_xyz=(20, 22, 18), seed=0):
    """``(x, y, z)`` float32: positive inside an ellipsoid, 0 outside."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_xyz], indexing="ij"))
    inside = (index**2).sum(axis=0) < 0.6
    return (inside * rng.uniform(100, 900, shape_xyz)).astype(np.float32)


def tumor(image_xyz):
    """``(x, y, z)`` uint8 labels 1, 2, 3 in nested off-center boxes inside the brain."""
    label = np.zeros(image_xyz.shape, np.uint8)
    x, y, z = (n // 2 for n in image_xyz.shape)
    label[x - 4 : x + 3, y - 3 : y + 5, z - 3 : z + 3] = 2
    label[x - 3 : x + 1, y - 2 : y + 3, z - 2 : z + 2] = 3
    label[x - 2 : x, y - 1 : y + 1, z - 1 : z + 1] = 1
    return label


def write_patient(folder: Path, case_id="BraTS-GLI-00001-000", affine=None, seed=0, shape_xyz=(20, 22, 18), label=True):
    """Write ``folder/case_id/case_id-t1n.nii.gz`` ...; the folder of the case."""
    image = brain(shape_xyz, seed)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine
    place = folder / case_id
    place.mkdir(parents=True)
    for name, factor in MODALITY_FACTORS.items():
        nib.save(nib.Nifti1Image((image * factor).astype(np.int16), affine), place / f"{case_id}-{name}.nii.gz")
    if label:
        nib.save(nib.Nifti1Image(tumor(image), affine), place / f"{case_id}-seg.nii.gz")
    return place


def reorient(folder: Path, target: Path, codes: str):
    """The same patient with its files' axes in another order; nothing moves in the world."""
    place = target / folder.name
    place.mkdir(parents=True)
    for file in folder.iterdir():
        image = nib.load(file)
        order = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
        )
        nib.save(image.as_reoriented(order), place / file.name)
    return place
