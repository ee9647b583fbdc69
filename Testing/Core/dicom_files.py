"""DICOM series written on the spot, as no scanner would name them."""

from collections.abc import Iterable
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
    **tags: str,
) -> None:
    """Coronal slices, numbered back to front by name, every other without an ending. ``tags``: ``0010_0020="P"``."""
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
        place = {"0020|0032": f"-10\\{spacing_mm[2] * index:g}\\20", "0008|0018": f"{uid}.{index + 1}"}
        for key, value in {**common, **place}.items():
            image.SetMetaData(key, value)
        file = folder / f"IM{len(array_zyx) - index:04d}.dcm"
        writer.SetFileName(str(file))
        writer.Execute(image)
        if index % 2:
            file.rename(file.with_suffix(""))  # told by its content
