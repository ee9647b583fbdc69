"""What became of each case of a call: ``volumes.csv``, the last lines, and the record for programs."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxmmsd.errors import EXIT_WITHHELD, ResultWithheldError, VoxMMSDError
from voxmmsd.files import write_bytes_atomic
from voxmmsd.inference.results import result_file
from voxmmsd.records.result import ENDING, read_result_record
from voxmmsd.wording import counted

TABLE = "volumes.csv"
_COLUMNS, _LAST_COLUMNS, _ML = ("case", "state", "exit"), ("findings", "why"), "_ml"
DONE, DOUBTFUL, WITHHELD, FAILED = "done", "doubtful", "withheld", "failed"
_EXITS = {DONE: 0, DOUBTFUL: 0, WITHHELD: EXIT_WITHHELD, FAILED: 2}


@dataclass(frozen=True)
class Outcome:
    """``state``: done, doubtful (with warnings), withheld or failed; ``kinds``: of its findings; ``why``: of what is
    withheld or failed."""

    case: str
    state: str
    volumes_ml: dict[str, float] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    why: str = ""

    @property
    def exit_code(self) -> int:
        return _EXITS[self.state]

    def record(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "state": self.state,
            "exit": self.exit_code,
            "volumes_ml": self.volumes_ml,
            "findings": list(self.kinds),
            "why": self.why,
        }


def outcome_of(folder: Path, case_id: str, result: Path | VoxMMSDError) -> Outcome:
    """From the record of a result, or from the error that there is instead."""
    if isinstance(result, VoxMMSDError) and not isinstance(result, ResultWithheldError):
        return Outcome(case_id, FAILED, why=str(result))
    file = result_file(folder, case_id)
    record = read_result_record(file.with_name(f"{case_id}{ENDING}"))
    volumes, kinds = dict(record.volumes_ml), tuple(finding.kind for finding in record.findings if finding.kind)
    if isinstance(result, VoxMMSDError):
        return Outcome(case_id, WITHHELD, volumes, kinds, result.problem)
    return Outcome(case_id, DOUBTFUL if record.warnings else DONE, volumes, kinds)


def write_volumes(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """``volumes.csv``: a row per case with volumes in ml. Rows of cases of earlier calls stay; a file of that name that
    is not ours is left alone."""
    file = folder / TABLE
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    if text and not text.startswith(",".join(_COLUMNS)):
        return None
    cases = {one.case for one in outcomes}
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row[_COLUMNS[0]] not in cases]
    rows += [_row(one) for one in outcomes]
    volumes = dict.fromkeys(name for row in rows for name in row if str(name).endswith(_ML))
    stream = io.StringIO()
    names = [*_COLUMNS, *volumes, *_LAST_COLUMNS]
    writer = csv.DictWriter(stream, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(file, stream.getvalue().encode())
    return file


def _row(one: Outcome) -> dict[str, str]:
    volumes = {f"{key}{_ML}": f"{volume:g}" for key, volume in one.volumes_ml.items()}
    of_case = (one.case, str(one.state), str(one.exit_code), " ".join(one.kinds), one.why)
    return {**dict(zip((*_COLUMNS, *_LAST_COLUMNS), of_case, strict=True)), **volumes}


def summary(outcomes: Sequence[Outcome], table: Path | None) -> list[str]:
    """The last lines of a call over several cases."""
    if len(outcomes) < 2:
        return []
    by_state = Counter(one.state for one in outcomes)
    states = ", ".join(f"{by_state[state]} {state}" for state in _EXITS if by_state[state])
    lines = [f"{counted(len(outcomes), 'case')}: {states}"]
    kinds = Counter(kind for one in outcomes for kind in dict.fromkeys(one.kinds))
    if kinds:
        lines.append("findings: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    return [*lines, *([f"volumes: {table}"] if table else [])]
