"""DICOM series written on the spot, as no scanner would name them."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest


def write_series(
    folder: Path,
    array_zyx: np.ndarray,
    uid: str,
    description: str,
    slices: Iterable[int] | None = None,
    spacing_mm: tuple[float, float, float] = (1.5, 2.0, 3.0),
    names: str = "IM",
    sideways_mm: Callable[[int], float] = lambda index: 0.0,
    **tags: str,
) -> None:
    """Coronal slices, numbered back to front by name, every other without an ending. ``tags``: ``0010_0020="P"``.

    ``sideways_mm``: how far to the left each slice is shifted."""
    sitk = pytest.importorskip("SimpleITK")
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    common = {
        "0008|0060": "MR",
        "0010|0020": "PAT-7",
        "0020|000d": "1.2.826.0.1.1",
        "0020|000e": uid,
        "0008|103e": description,
        "0008|0020": "20200102",
        "0020|0037": "1\\0\\0\\0\\0\\-1",
        **{key.replace("_", "|"): value for key, value in tags.items()},
    }
    for index in slices if slices is not None else range(len(array_zyx)):
        image = sitk.GetImageFromArray(array_zyx[index])
        image.SetSpacing(spacing_mm[:2])
        # Rows run left to right, columns feet to head.
        place = {
            "0020|0032": f"{sideways_mm(index) - 10:g}\\{spacing_mm[2] * index:g}\\20",
            "0008|0018": f"{uid}.{index + 1}",
        }
        for key, value in {**common, **place}.items():
            image.SetMetaData(key, value)
        file = folder / f"{names}{len(array_zyx) - index:04d}.dcm"
        writer.SetFileName(str(file))
        writer.Execute(image)
        if index % 2:
            file.rename(file.with_suffix(""))  # told by its content


def write_frames(
    file: Path,
    array_zyx: np.ndarray,
    description: str = "AX T1",
    order: Iterable[int] | None = None,
    uid: str = "1.2.3.9",
    **groups: dict,
) -> None:
    """Enhanced MR: axial frames of 2 x 1.5 x 4 mm in one file, stored in this order (a frame may come twice).

    ``groups``: functional groups of all frames by the name of their sequence, beside or instead of the usual.
    """
    pydicom = pytest.importorskip("pydicom")
    order = list(range(len(array_zyx)) if order is None else order)

    def item(**values):
        made = pydicom.Dataset()
        made.update(values)
        return pydicom.Sequence([made])

    shared = {
        "PixelMeasuresSequence": {"PixelSpacing": [1.5, 2.0], "SliceThickness": 3.0},
        "PlaneOrientationSequence": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelValueTransformationSequence": {"RescaleIntercept": 1, "RescaleSlope": 2, "RescaleType": "US"},
        **groups,
    }
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    meta.MediaStorageSOPInstanceUID = f"{uid}.1"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header = pydicom.Dataset()
    header.file_meta = meta
    header.update(
        {
            "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": f"{uid}.1", "SeriesInstanceUID": uid,
            "StudyInstanceUID": "1.2.826.0.1.1", "Modality": "MR", "PatientID": "PAT-7", "StudyDate": "20200102",
            "SeriesDescription": description, "Rows": array_zyx.shape[1], "Columns": array_zyx.shape[2],
            "NumberOfFrames": len(order), "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
            "PixelRepresentation": 0, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
            "SharedFunctionalGroupsSequence": item(**{name: item(**group) for name, group in shared.items()}),
            "PerFrameFunctionalGroupsSequence": pydicom.Sequence(
                [
                    item(PlanePositionSequence=item(ImagePositionPatient=[-10, -20, 5 + 4.0 * place]))[0]
                    for place in order
                ]
            ),
        }
    )  # fmt: skip
    header.PixelData = array_zyx[order].astype("<u2").tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(file, enforce_file_format=True)
