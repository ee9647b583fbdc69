"""The labels that are exported, and what their record says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voxmmsd.data.formats.sources import Source
from voxmmsd.data.label_maps import read_label
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.files import read_json, sha256_of
from voxmmsd.labels import LabelSchema, schema_named
from voxmmsd.records.findings import blocking
from voxmmsd.records.result import ENDING, ResultRecord, read_result_record

LABELS = "-voxmmsd.nii.gz"


@dataclass(frozen=True)
class ExportedResult:
    """A result of ``segment`` or ``refine``.

    ``label``: class indices of ``schema``. ``edited``: whether a person had a hand in it. ``made``: when its labels
    were written, in UTC and without a zone, as DICOM has it.
    """

    file: Path
    record: ResultRecord
    schema: LabelSchema
    label: Volume
    edited: bool
    made: datetime

    @property
    def doubtful(self) -> bool:
        """Whether it was written despite blocking findings (``--force``)."""
        return bool(blocking(self.record.findings))

    @property
    def case_id(self) -> str:
        return self.file.name.removesuffix(LABELS)

    @property
    def moved(self) -> Mapping[str, float]:
        """By modality, how far it was moved onto the reference (mm), where it was."""
        return {
            str(one["modality"]): float(one.get("shift_mm", 0.0))
            for one in self.record.alignment
            if one.get("accepted") and "modality" in one
        }


def read_result(file: Path) -> ExportedResult:
    """A result and its record beside it.

    Raises:
        InputError: no result, no record, or labels that are none of its schema.
    """
    if not file.name.endswith(LABELS) or not file.is_file():
        raise InputError(f"{file}: is not a result of `voxmmsd segment`", f"give its CASEID{LABELS}")
    beside = file.with_name(file.name.removesuffix(LABELS) + ENDING)
    remedy = "segment the case again, and export that result"
    try:
        record = read_result_record(beside, remedy)
        refined = "refined" in read_json(beside)
        schema_named(record.schema)
    except (OSError, ConfigError) as error:
        raise InputError(f"{beside}: is missing or is not a result's record ({error!s:.200})", remedy) from error
    return result_of(file, record, refined=refined)


def result_of(file: Path, record: ResultRecord, *, refined: bool) -> ExportedResult:
    """Labels and the record that is written after them. Raises InputError for labels that are none of its schema."""
    schema = schema_named(record.schema)
    label = read_label(Source(file), schema)
    as_written = record.sha256 == sha256_of(file)
    return ExportedResult(file, record, schema, label, refined or not as_written, _made(file, record, as_written))


def _made(file: Path, record: ResultRecord, as_written: bool) -> datetime:
    """By the record, which a copy of the file has, too; by the file where it was edited or its record does not tell."""
    told = as_written and record.made
    when = datetime.fromisoformat(record.made) if told else datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    return when.astimezone(UTC).replace(tzinfo=None)
