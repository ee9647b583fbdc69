"""A DICOM series written on the spot, and a result on its grid as `segment` leaves it."""

from pathlib import Path

import nibabel as nib
import numpy as np
from dicom_files import write_series

from voxmmsd.data.formats.dicom import read_series
from voxmmsd.data.formats.sources import Source, source_sha256
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.grid import Grid
from voxmmsd.data.volume import Volume, resample
from voxmmsd.files import sha256_of
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.phantom import make_phantom
from voxmmsd.records.result import ModelUsed, ResultRecord

SHAPE = (9, 12, 14)
UID, STUDY, FRAME = "1.2.826.0.1.77.1", "1.2.826.0.1.77", "1.2.826.0.1.77.9"


def labels(shape=SHAPE, schema="brats-2021"):
    """Boxes, one in the other, of all labels of the schema, lopsided along each axis."""
    array = np.zeros(shape, np.uint8)
    for inset, value in enumerate(schema_named(schema).values):
        array[1 + inset : -2, 1 + inset : 10 - inset, 3 + inset : -1 - inset] = value
    return array


def series(folder: Path, uid: str = UID, shape=SHAPE, description: str = "T1 POST", **tags: str) -> Path:
    image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) % 500
    header = {
        "0010_0010": "Doe^Jane",
        "0010_0040": "F",
        "0008_0050": "ACC-1",
        "0020_000d": STUDY,
        "0020_0052": FRAME,
        "0020_0011": "7",
        **tags,
    }
    write_series(folder, image, uid, description, **header)
    return folder


def result(
    folder: Path, source: Path, array=None, grid: Grid | None = None, case="case", schema="brats-2021", **record
):
    """``grid``: the labels' own, else that of the series."""
    own = read_series(source, None).grid if source.is_dir() and any(source.iterdir()) else None
    array = labels(schema=schema) if array is None else array
    file = folder / f"{case}-voxmmsd.nii.gz"
    write_nifti(file, np.asarray(array, np.uint8), grid or own)
    said = {
        "model": ModelUsed("starter-1", "1.2", "ab" * 32),
        "reference": "t1c",
        "inputs": {"t1c": source_sha256(Source(source))},
        "sha256": sha256_of(file),
        **record,
    }
    ResultRecord(schema=schema, case=case, **said).write(folder / f"{case}-voxmmsd.json")
    return file


def finer(array: np.ndarray, grid: Grid, spacing_mm: float) -> tuple[np.ndarray, Grid]:
    target = grid.with_spacing(spacing_mm)
    return resample(Volume(array, grid), target, order=0).array, target


def in_world(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Places of labeled voxels (RAS mm, to 0.01) in a fixed order, and their values."""
    image = nib.load(file)
    array = np.asarray(image.dataobj)
    indices = np.argwhere(array)
    places = np.round(indices @ image.affine[:3, :3].T + image.affine[:3, 3], 2) + 0.0
    order = np.lexsort(places.T)
    return places[order], array[tuple(indices.T)][order]


def study(folder: Path, shape=(24, 24, 24)) -> Path:
    """The four images of a phantom as DICOM series, each in a folder of its name."""
    phantom = make_phantom(3, shape)
    for number, (name, image) in enumerate(zip(MODALITIES, phantom.image_czyx, strict=True), start=1):
        scaled = np.round(image / image.max() * 1000).astype(np.uint16)
        tags = {"0010_0010": "Doe^Jane", "0020_000d": STUDY, "0020_0052": FRAME, "0020_0011": str(number)}
        write_series(folder / name, scaled, f"{STUDY}.{number}", name, spacing_mm=(1, 1, 1), **tags)
    return folder
