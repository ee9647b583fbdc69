"""The record beside a result, ``CASEID-voxmmsd.json``: written by ``segment``, read by all who go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voxmmsd.errors import InputError
from voxmmsd.files import read_json, write_json_atomic
from voxmmsd.records.findings import Finding, Severity, in_order

FORMAT = 1
ENDING = "-voxmmsd.json"


@dataclass(frozen=True)
class ModelUsed:
    """The model that a result is of. ``temperature``: of the probabilities and the uncertainty."""

    id: str = ""
    version: str = ""
    weights_sha256: str = ""
    temperature: float = 1.0


@dataclass(frozen=True)
class Refinement:
    """What ``refine`` did to a result.

    ``round``: 1 for a result of ``segment``. ``from_sha256``, ``edits_sha256``, ``origin_sha256``: files of the labels
    that were edited, of the edits, and of who decided each voxel. ``planes``: axis (0 z, 1 y, 2 x) and index of the
    reviewed planes of all rounds. ``locked``: keys of labels that stayed. ``changed_ml``: by key of each label,
    ``added`` and ``removed``.
    """

    round: int = 0
    from_sha256: str = ""
    edits_sha256: tuple[str, ...] = ()
    origin_sha256: str = ""
    edited_voxels: int = 0
    carried_voxels: int = 0
    planes: tuple[tuple[int, int], ...] = ()
    locked: tuple[str, ...] = ()
    agreement: float = 0.0
    changed_ml: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Refinement:
        """What ``asdict`` gave; what it lacks is empty."""
        return cls(
            round=int(record.get("round", 0)),
            from_sha256=str(record.get("from_sha256", "")),
            edits_sha256=tuple(map(str, record.get("edits_sha256", ()))),
            origin_sha256=str(record.get("origin_sha256", "")),
            edited_voxels=int(record.get("edited_voxels", 0)),
            carried_voxels=int(record.get("carried_voxels", 0)),
            planes=tuple((int(axis), int(index)) for axis, index in record.get("planes", ())),
            locked=tuple(map(str, record.get("locked", ()))),
            agreement=float(record.get("agreement", 0.0)),
            changed_ml=dict(record.get("changed_ml", {})),
        )


@dataclass(frozen=True)
class ResultRecord:
    """What is known of a result; it contains no path and no patient data. ``docs/file-formats.md`` explains the keys.

    ``reading``: how the images were read: ``align``, ``from_scanner``, ``n4`` and ``brain_mask`` (its word, or the
    SHA-256 of its file); empty in records of earlier versions. ``findings``: of the images and of the result.
    ``notes``: what was done otherwise than asked, as text. ``withheld``: why there are no labels, as lines of findings.
    ``made``: when the labels were, in UTC (ISO 8601), empty in records of earlier versions.
    ``sha256``: of the labels' file, None if they are withheld. ``refined``: what ``refine`` did, None for a result of
    ``segment``.
    """

    schema: str
    case: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    model: ModelUsed = ModelUsed()
    engine: str = ""
    reference: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    alignment: tuple[Mapping[str, Any], ...] = ()
    missing: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    review: tuple[Mapping[str, Any], ...] = ()
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    withheld: tuple[str, ...] = ()
    made: str = ""
    sha256: str | None = None
    refined: Refinement | None = None

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings to be warned of, most severe first."""
        return in_order(finding for finding in self.findings if finding.severity != Severity.NOTE)

    def write(self, file: Path) -> None:
        """``findings`` are also written as lines, followed by the notes, as earlier versions read them."""
        record: dict[str, Any] = {"format": FORMAT, "case": self.case}
        record |= {
            item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("notes", "refined")
        }
        record |= {
            "model": asdict(self.model),
            "findings": [*(finding.line() for finding in self.findings), *self.notes],
            "finding_kinds": [finding.kind for finding in self.findings],
            "finding_records": [finding.record() for finding in self.findings],
        }
        if self.refined is not None:
            record["refined"] = asdict(self.refined)
        write_json_atomic(file, record)


def read_result_record(file: Path, remedy: str = "segment again") -> ResultRecord:
    """Read a record of this or an earlier version; what it lacks is empty.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is not a result's record.
    """
    try:
        return _result(read_json(file))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: is not a result's record ({error!r:.200})", remedy) from error


def _result(record: dict[str, Any]) -> ResultRecord:
    lines = [str(line) for line in record.get("findings", ())]
    found = record.get("finding_records")
    if found is None:  # as version 0.1 wrote them
        parted = [Finding.of_line(line) for line in lines]
        findings = tuple(finding for finding in parted if finding is not None)
        notes = tuple(line for line, finding in zip(lines, parted, strict=True) if finding is None)
    else:
        findings, notes = tuple(Finding.of(each) for each in found), tuple(lines[len(found) :])
    model = record.get("model") or {}
    return ResultRecord(
        schema=str(record["schema"]),
        case=str(record.get("case", "")),
        labels=dict(record.get("labels", {})),
        model=ModelUsed(
            str(model.get("id", "")),
            str(model.get("version", "")),
            str(model.get("weights_sha256", "")),
            float(model.get("temperature", 1.0)),
        ),
        engine=str(record.get("engine", "")),
        reference=str(record.get("reference", "")),
        inputs=dict(record.get("inputs", {})),
        reading=dict(record.get("reading") or {}),
        alignment=tuple(record.get("alignment") or ()),
        missing=tuple(record.get("missing", ())),
        findings=findings,
        notes=notes,
        review=tuple(record.get("review", ())),
        volumes_ml=dict(record.get("volumes_ml", {})),
        seconds=float(record.get("seconds", 0.0)),
        withheld=tuple(record.get("withheld", ())),
        made=datetime.fromisoformat(made).astimezone(UTC).isoformat() if (made := str(record.get("made", ""))) else "",
        sha256=record.get("sha256"),
        refined=Refinement.from_record(record["refined"]) if record.get("refined") else None,
    )
