"""Result files ``CASEID-voxmmsd.nii.gz`` and ``.json``, names that are never mistaken for expert labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.clock import now
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import source_sha256
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.reading import CaseVolumes
from voxmmsd.errors import InputError, ResultWithheldError
from voxmmsd.files import sha256_of
from voxmmsd.inference.predict import Prediction
from voxmmsd.labels import MODALITIES, values_from_indices
from voxmmsd.models.package import WEIGHTS
from voxmmsd.records.findings import Finding
from voxmmsd.records.result import ENDING, ModelUsed, ResultRecord, read_result_record


def result_file(folder: Path, case_id: str) -> Path:
    """The file that the labels of a case are written to."""
    return folder / f"{case_id}-voxmmsd.nii.gz"


def finished_result(folder: Path, case: Case) -> Path | None:
    """The label file of a complete result, else None: labels without a record are incomplete.

    Raises:
        InputError: the result belongs to other images or another brain mask, or these have changed.
    """
    file = result_file(folder, case.id)
    record = file.with_name(f"{case.id}-voxmmsd.json")
    if record.is_file() and file.exists():
        made = _read(record)
        what = "" if _is_of_images(made, case) else "other images"
        if what or not _is_of_mask(made, case):
            raise InputError(
                f"{file}: is of {what or 'another brain mask'} than the case has now",
                "nothing is overwritten, name another --out",
            )
        return file
    return None


def withheld_result(folder: Path, case: Case) -> ResultWithheldError | None:
    """Why the labels of a complete result of these images and this brain mask were withheld, else None.

    Raises:
        InputError: the record cannot be read.
    """
    record = result_file(folder, case.id).with_name(f"{case.id}-voxmmsd.json")
    if not record.is_file() or result_file(folder, case.id).exists():
        return None
    made = _read(record)
    same = _is_of_images(made, case) and _is_of_mask(made, case)
    return withheld_error(case.id, made.withheld) if made.withheld and same else None


def _is_of_images(record: ResultRecord, case: Case) -> bool:
    return record.inputs == {name: source_sha256(source) for name, source in case.modalities.items()}


def _is_of_mask(record: ResultRecord, case: Case) -> bool:
    """Of the file that the case names, or of none; a word is an option of the run. Early records do not tell."""
    mask = str(record.reading.get("brain_mask", ""))
    if not record.reading or mask in WORDS:
        return True
    return mask == (source_sha256(case.brain_mask) if case.brain_mask is not None else "")


def withheld_error(case_id: str, reasons: Sequence[str]) -> ResultWithheldError:
    """The error of a case whose labels are withheld for these reasons (findings' lines)."""
    listed = "; ".join(reason.removeprefix("blocking: ") for reason in reasons)
    return ResultWithheldError(f"the result is implausible and was withheld: {listed}", "--force writes it anyway")


def set_unfinished_aside(folder: Path, case_id: str) -> None:
    """Rename labels without a record, left by a run that was killed between writing the two, so that the case can be
    segmented again without losing anything."""
    file = result_file(folder, case_id)
    if file.exists() and not file.with_name(f"{case_id}-voxmmsd.json").is_file():
        file.replace(file.with_name(f"{case_id}-voxmmsd.nii.gz.broken-off"))


def _read(record: Path) -> ResultRecord:
    return read_result_record(record, "move it away, or name another --out")


def write_prediction(
    prediction: Prediction,
    folder: Path,
    seconds: float,
    findings: Sequence[Finding] = (),
    withheld: Sequence[Finding] = (),
    before_record: Callable[[Path, ResultRecord], object] | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
) -> Path:
    """Write labels with the values of the schema, probabilities if any, and the record; returns the label file.

    The record is written last: if it exists, the result is complete. It contains no path and no patient data. Where
    findings say why the result is ``withheld``, the record is all that is written. ``before_record`` writes what else
    belongs to a complete result; it is given the label file and the record. ``reading``: as in ``ResultRecord``.

    Raises:
        InputError: results of this case exist already.
    """
    file = result_file(folder, prediction.case_id)
    if file.exists():
        raise InputError(f"{file}: exists already", "nothing is overwritten, name another --out")
    if not withheld:
        _write_maps(prediction, folder)
        write_nifti(file, values_from_indices(prediction.label_zyx, prediction.schema), prediction.grid)
    record = replace(
        _record(prediction, seconds, findings),
        withheld=tuple(finding.line() for finding in withheld),
        sha256=None if withheld else sha256_of(file),
        reading=reading or {},
    )
    if before_record is not None and not withheld:
        before_record(file, record)
    record.write(file.with_name(f"{prediction.case_id}{ENDING}"))
    return file


def _write_maps(prediction: Prediction, folder: Path) -> None:
    """Probabilities and uncertainty, where they were asked for."""
    if prediction.probabilities_czyx is not None:
        for label, map_zyx in zip(prediction.schema.labels, prediction.probabilities_czyx[1:], strict=True):
            name = f"{prediction.case_id}-voxmmsd-probability-{label.key}.nii.gz"
            write_nifti(folder / name, np.rint(map_zyx * 255).astype(np.uint8), prediction.grid, scale=1 / 255)
    if prediction.uncertainty_zyx is not None:
        name = f"{prediction.case_id}-voxmmsd-uncertainty.nii.gz"
        doubt = np.rint(prediction.uncertainty_zyx * 255).astype(np.uint8)
        write_nifti(folder / name, doubt, prediction.grid, scale=1 / 255)


def write_intermediates(volumes: CaseVolumes, folder: Path, *, made_mask: bool) -> None:
    """Write intermediate images, on the grid of the result.

    ``CASEID-voxmmsd-MODALITY.nii.gz``: aligned, resampled or corrected images; ``CASEID-voxmmsd-brain-mask.nii.gz``:
    the brain mask, if it was computed.
    """
    grid, case_id = volumes.image.grid, volumes.case.id
    moved = {alignment.modality for alignment in volumes.alignments if alignment.accepted}
    for name, array in zip(MODALITIES, volumes.image.array, strict=True):
        if name not in volumes.grids:
            continue
        if volumes.corrected or name in moved or not volumes.grids[name].same_as(grid):
            write_nifti(folder / f"{case_id}-voxmmsd-{name}.nii.gz", array, grid)
    if made_mask and volumes.brain_mask_zyx is not None:
        mask = volumes.brain_mask_zyx.astype(np.uint8)
        write_nifti(folder / f"{case_id}-voxmmsd-brain-mask.nii.gz", mask, grid)


def _record(prediction: Prediction, seconds: float, findings: Sequence[Finding]) -> ResultRecord:
    info, volumes = prediction.package.info, prediction.volumes
    return ResultRecord(
        case=prediction.case_id,
        schema=prediction.schema.name,
        labels={label.key: label.value for label in prediction.schema.labels},
        model=ModelUsed(info.id, info.version, info.files[WEIGHTS], info.temperature),
        engine=prediction.engine,
        reference=volumes.reference,
        inputs={name: source_sha256(source) for name, source in volumes.case.modalities.items()},
        alignment=tuple(alignment.record() for alignment in volumes.alignments),
        missing=tuple(volumes.case.missing),
        findings=tuple(findings),
        notes=tuple(prediction.notes),
        review=tuple(place.record() for place in prediction.review),
        volumes_ml={key: round(value, 4) for key, value in prediction.volumes_ml.items()},
        seconds=round(seconds, 2),
        made=now(),
    )
