"""A result on its way into a report: the core's ``report`` writes page and PDF, beside Slicer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, LabelSchema
from voxmmsd.records.findings import Finding
from voxmmsd.records.result import ENDING, ModelUsed, ResultRecord
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import MODEL, label_array, schema_of
from VoxMMSDLib.volumes import Write, array_write, ijk_to_world
from VoxMMSDLib.workplace import new_workplace
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.diameter_lines import LesionLines, find_lines
from VoxMMSDSegmentLib.result import REVIEW, WARNINGS, input_of
from VoxMMSDSegmentLib.rounds import WEIGHTS, predicted_labels
from VoxMMSDSegmentLib.saving import image_writes, reference_in_scene

# What the core needs for it, beyond what it needs to segment. Import name -> requirement.
PACKAGES = {"matplotlib": "matplotlib>=3.8"}


class ReportJob(CoreJob):
    """One result into a report, which is written whole or not at all.

    One of ``on_done`` (the page, and the diameters), ``on_failed`` is called. ``case_id``: names the files and is shown
    in them; a code, no name.
    """

    def __init__(
        self,
        result: Any,
        out: Path,
        case_id: str,
        *,
        on_done: Callable[[Path, list[LesionLines]], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        folder = new_workplace()
        super().__init__(folder, folder / ".run", on_failed)
        self.result, self._out, self._case_id, self._on_done = result, out, case_id, on_done
        self._lines: list[LesionLines] = []

    def _sending(self) -> Steps:
        result, folder = self.result, self._folder
        reference, schema = reference_in_scene(result), schema_of(result)
        now, affine = label_array(result, reference), ijk_to_world(reference)
        predicted = predicted_labels(result)
        if predicted is None:
            raise InputError(
                _("{name}: the labels that it was edited from are no longer in the scene").format(
                    name=result.GetName()
                ),
                _("segment the images again"),
            )
        before = slicer.util.arrayFromVolume(predicted).astype(now.dtype)
        yield
        images, _mask, writes = yield from image_writes(result, reference, folder)
        labels, edited = folder / f"{self._case_id}-voxmmsd.nii.gz", folder / "edited.nii"
        writes.append(array_write(before, affine, labels, result.GetName()))
        is_edited = bool((now != before).any())
        if is_edited:
            writes.append(array_write(now, affine, edited, result.GetName()))
        chosen = next((key for key in MODALITIES if input_of(result, key) is reference), "")
        record = record_of(result, self._case_id, schema, chosen)
        yield lambda: self._write(writes, images, labels, record)
        self._lines = yield lambda: find_lines(now, schema, affine)
        arguments = ["report", str(labels), "--case", str(next(iter(images.values())).parent), "--out", str(self._out)]
        return [*arguments, *(["--edited", str(edited)] if is_edited else [])]

    def _write(self, writes: list[Write], images: dict[str, Path], labels: Path, record: ResultRecord) -> None:
        """In a thread of its own."""
        if self._write_each(writes):
            write_record(record, images, labels)

    def _receive(self) -> None:
        lines = self._lines
        self._clear()
        self._on_done(self._out / f"{self._case_id}-voxmmsd-report.html", lines)


def record_of(result: Any, case_id: str, schema: LabelSchema, reference: str) -> ResultRecord:
    """What the scene tells of a result."""
    known = json.loads(result.GetAttribute(WARNINGS) or "[]")
    # Scenes of version 0.1 hold lines.
    found = [Finding.of_line(one) if isinstance(one, str) else Finding.of(one) for one in known]
    return ResultRecord(
        schema=schema.name,
        case=case_id,
        labels={label.key: label.value for label in schema.labels},
        # Scenes of version 0.1 do not say which weights: the core wants a word.
        model=ModelUsed(result.GetAttribute(MODEL) or "", "", result.GetAttribute(WEIGHTS) or "unknown"),
        reference=reference,
        findings=tuple(finding for finding in found if finding is not None),
        review=tuple(json.loads(result.GetAttribute(REVIEW) or "[]")),
    )


def write_record(record: ResultRecord, images: dict[str, Path], labels: Path) -> None:
    """Write the record of labels beside them, with the hashes of their file and of the images' files."""
    from dataclasses import replace

    from voxmmsd.data.formats.sources import Source, source_sha256
    from voxmmsd.files import sha256_of

    inputs = {key: source_sha256(Source(file)) for key, file in images.items()}
    missing = tuple(key for key in MODALITIES if key not in images)
    whole = replace(record, inputs=inputs, missing=missing, sha256=sha256_of(labels))
    whole.write(labels.with_name(f"{record.case}{ENDING}"))
