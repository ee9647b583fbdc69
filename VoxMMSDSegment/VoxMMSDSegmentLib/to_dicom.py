"""A corrected result on its way to DICOM: the core's ``export-dicom`` is given labels and the series they lie on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.ids import safe_id
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import MODEL, SCHEMA, label_array
from VoxMMSDLib.volumes import Write, array_write, ijk_to_world
from VoxMMSDLib.workplace import new_workplace
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.rounds import WEIGHTS, predicted_labels
from VoxMMSDSegmentLib.saving import reference_in_scene

# What the core needs for it, beyond what it needs to segment. Import name -> requirement.
PACKAGES = {"highdicom": "highdicom>=0.28", "SimpleITK": "SimpleITK>=2.3"}
_SEGMENTATION = "-voxmmsd-seg.dcm"


def series_files(reference: Any) -> list[Path]:
    """The files of the series that a volume was loaded from, as Slicer's DICOM database has them.

    Raises:
        InputError: it was not loaded from DICOM, files of it are gone, or it is moved by a transform.
    """
    name = reference.GetName()
    uids = (reference.GetAttribute("DICOM.instanceUIDs") or "").split()
    if not uids:
        raise InputError(
            _("{name}: was not loaded from DICOM, and a DICOM SEG refers to the series that was segmented").format(
                name=name
            ),
            _("load the images with Slicer's DICOM module; Save as... writes NIfTI or NRRD"),
        )
    if reference.GetParentTransformNode() is not None:
        raise InputError(
            _("{name}: is moved by a transform, and the DICOM series is where the scanner put it").format(name=name),
            _("take it out of the transform (module Transforms), and segment it there"),
        )
    database = getattr(slicer, "dicomDatabase", None)
    found = [database.fileForInstance(uid) if database is not None and database.isOpen else "" for uid in uids]
    files = [Path(file) for file in found if file and Path(file).is_file()]
    if len(files) < len(uids):
        problem = _("{name}: {count} of {all} files of its DICOM series are not in Slicer's DICOM database any more")
        raise InputError(
            problem.format(name=name, count=len(uids) - len(files), all=len(uids)), _("import the series again")
        )
    return files


class DicomJob(CoreJob):
    """One result into a folder, whose files stay as they are.

    One of ``on_done`` (the files), ``on_failed`` is called.
    """

    def __init__(
        self,
        result: Any,
        out: Path,
        *,
        on_done: Callable[[list[Path]], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        folder = new_workplace()
        super().__init__(folder, folder / ".run", on_failed)
        self._result, self._out, self._on_done = result, out, on_done

    def _sending(self) -> Steps:
        import numpy as np

        result = self._result
        reference = reference_in_scene(result)
        files = series_files(reference)
        labels = label_array(result, reference)
        yield
        predicted = predicted_labels(result)
        as_made = predicted is not None and np.array_equal(labels, slicer.util.arrayFromVolume(predicted))
        stem = free_stem(self._out, safe_id(result.GetName()))
        label_file, series = self._folder / f"{stem}-voxmmsd.nii.gz", self._folder / "series"
        series.mkdir()
        attributes = {name: result.GetAttribute(name) or "" for name in (SCHEMA, MODEL, WEIGHTS)}
        writes: list[Write] = [
            array_write(labels, ijk_to_world(reference), label_file, result.GetName()),
            lambda: _write_record(label_file, stem, attributes, as_made=as_made),
            *(partial(shutil.copyfile, file, series / f"{number:05}.dcm") for number, file in enumerate(files)),
        ]
        yield lambda: self._write_each(writes)
        return ["export-dicom", str(label_file), "--source", str(series), "--out", str(self._out)]

    def _receive(self) -> None:
        written = [Path(line) for line in self.log.splitlines() if line.endswith(".dcm")]
        self._clear()
        self._on_done(written)


def free_stem(folder: Path, stem: str) -> str:
    """``stem``, with a number where files of that name stand in the folder."""
    number, free = 1, stem
    while (folder / f"{free}{_SEGMENTATION}").exists():
        number += 1
        free = f"{stem}-{number}"
    return free


def _write_record(label_file: Path, stem: str, attributes: dict[str, str], *, as_made: bool) -> None:
    """Beside the labels, as the core reads them; with a checksum if nobody has changed what the model gave."""
    from voxmmsd.files import sha256_of
    from voxmmsd.records.result import ENDING, ModelUsed, ResultRecord

    model = ModelUsed(attributes[MODEL], _version_of(attributes[MODEL]), attributes[WEIGHTS])
    sha256 = sha256_of(label_file) if as_made else None
    ResultRecord(attributes[SCHEMA], stem, model=model, sha256=sha256).write(label_file.with_name(f"{stem}{ENDING}"))


def _version_of(model: str) -> str:
    """Empty where the model is no longer there."""
    from voxmmsd.models.registry import resolve_model

    try:
        return resolve_model(model).info.version if model else ""
    except VoxMMSDError:
        return ""
