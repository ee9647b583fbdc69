"""A bank of tumors cut from labeled cases, one ``.npz`` file (its keys: ``docs/file-formats.md``)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxmmsd.data.splits import Splittable
from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, LabelSchema, index_of_tissue, indices_from_values, schema_named

VOXEL_MM_XYZ = (1.875, 1.875, 1.211)  # if the file does not say it
SCHEMA = "brats-2021"
PER_DEVIATION, MEAN = 25.0, 75.0  # of the stored values: v > 0 means z = v / 25 - 3


@dataclass(frozen=True)
class TumorBank:
    """``image_nczyx`` uint8: 25 times the intensity's deviation from the brain's mean, in standard deviations, plus 75;
    0 is no data. ``label_nzyx`` uint8: class indices of the schema that it was read for. ``patients``: of each tumor.
    """

    file: Path
    image_nczyx: np.ndarray
    label_nzyx: np.ndarray
    patients: tuple[str, ...]
    voxel_mm_zyx: tuple[float, ...]


def read_tumor_bank(file: Path, schema: LabelSchema) -> TumorBank:
    """Read a bank, its labels as class indices of ``schema``.

    Raises:
        InputError: it is missing or damaged, or labels tissues that ``schema`` does not have.
    """
    try:
        with np.load(file, allow_pickle=False) as record:
            stored = {key: record[key] for key in record.files}
    except FileNotFoundError:
        raise InputError(f"{file}: no such file", "check the path of --tumor-bank") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _damaged(file, f"cannot be read ({error})") from error
    if missing := [key for key in ("image", "label", "patient") if key not in stored]:
        raise _damaged(file, f"lacks {', '.join(missing)}")
    image, label, patients = stored["image"], stored["label"], stored["patient"]
    count, expected = len(np.atleast_1d(patients)), (len(MODALITIES), *label.shape[1:])
    fits = label.ndim == 4 and image.shape == (count, *expected) and len(label) == count and label.size > 0
    if not fits or image.dtype != np.uint8 or not np.issubdtype(label.dtype, np.integer) or patients.ndim != 1:
        raise _damaged(
            file,
            f"holds images {image.shape} {image.dtype}, labels {label.shape} {label.dtype} and {count} patients, "
            "where (n, 4, x, y, z) uint8, (n, x, y, z) of integers and n are expected",
        )
    voxel_mm = np.asarray(stored.get("voxel_mm", VOXEL_MM_XYZ))
    if voxel_mm.shape != (3,) or not (np.isfinite(voxel_mm) & (voxel_mm > 0)).all():
        raise _damaged(file, f"has voxels of {voxel_mm.tolist()} mm")
    return TumorBank(
        file,
        np.ascontiguousarray(image.transpose(0, 1, 4, 3, 2)),
        np.ascontiguousarray(_mapped(label, str(stored.get("schema", SCHEMA)), schema, file).transpose(0, 3, 2, 1)),
        tuple(map(str, patients)),
        tuple(voxel_mm[::-1].tolist()),
    )


def refuse_held_out(bank: TumorBank, held: Iterable[Splittable]) -> None:
    """Raise InputError if a tumor is of a patient who is held out for validation or test."""
    patients = {patient.casefold() for patient in bank.patients}
    known = [case.patient_id for case in held if {case.id.casefold(), case.patient_id.casefold()} & patients]
    if known:
        named = f"{', '.join(known[:5])}{' ...' if len(known) > 5 else ''}"
        raise InputError(
            f"{bank.file}: has tumors of patients who are held out for validation or test ({named})",
            "remove them from the bank, or from these parts of the splits",
        )


def _mapped(label: np.ndarray, own: str, schema: LabelSchema, file: Path) -> np.ndarray:
    theirs = schema_named(own)
    unknown = sorted(set(np.unique(label).tolist()) - {0, *theirs.values})
    if unknown:
        raise InputError(
            f"{file}: its labels {unknown[:5]} are not in schema {own}", "name the bank's schema under its key `schema`"
        )
    indices = indices_from_values(label, theirs, str(file))
    table = np.zeros(theirs.class_count, np.uint8)
    for index, tissue in enumerate(theirs.labels, start=1):
        there = index_of_tissue(tissue, schema)
        if there is None and (indices == index).any():
            raise InputError(
                f"{file}: labels {tissue.name} ({tissue.key}, schema {own}), which the model's schema {schema.name} "
                "does not know",
                "use a tumor bank with the model's tissues",
            )
        table[index] = there or 0
    return table[indices]


def _damaged(file: Path, what: str) -> InputError:
    return InputError(f"{file}: {what}, it is damaged or no tumor bank", "copy it again (docs/file-formats.md)")
