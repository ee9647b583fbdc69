"""Records of a case and of each of its labels, one JSON file each, never rewritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from voxmmsd.data.grid import Grid
from voxmmsd.errors import LibraryError
from voxmmsd.files import read_json

FORMAT = 1
UNLABELED, ACCEPTED = "unlabeled", "accepted"

RecordT = TypeVar("RecordT")


class Part(StrEnum):
    """What the cases of a patient are used for."""

    TRAINING = "training"
    HOLD_OUT = "hold-out"


class LabelKind(StrEnum):
    """``PREDICTED``: a model's output, nobody looked. ``CORRECTED``: accepted, drawn over a model's output. ``EXPERT``:
    accepted, drawn over none."""

    PREDICTED = "predicted"
    CORRECTED = "corrected"
    EXPERT = "expert"


TRAINING, HOLD_OUT = PARTS = tuple(Part)
PREDICTED, CORRECTED, EXPERT = LabelKind


@dataclass(frozen=True)
class Change:
    """Voxels of a tissue that a correction added and removed."""

    added: int
    removed: int


@dataclass(frozen=True)
class Origins:
    """Who decided each voxel of a label, kept in a file beside it: 0 the model, 1 edited by hand, 2 carried (refine).

    ``voxels``: how many of each, by name.
    """

    sha256: str
    voxels: Mapping[str, int]


@dataclass(frozen=True)
class LabelVersion:
    """One label of a case. Labels are numbered from 1, appended, and never replaced.

    ``time``: when it was predicted or accepted (ISO, UTC). ``model``: id of the
    model that predicted it, empty for the other kinds. ``drawn_over``: ids of the models whose output it was drawn on.
    ``changed_voxels``: by key of each label, against version ``compared_to`` (0: there was none). ``volumes_ml``: by
    key of each label and region. ``review``: uncertain regions of a prediction, as recorded by ``segment``.
    ``origins``: who decided each voxel, where that is known.
    """

    number: int
    kind: LabelKind
    schema: str
    time: str
    sha256: str
    volumes_ml: Mapping[str, float]
    model: str = ""
    drawn_over: tuple[str, ...] = ()
    changed_voxels: Mapping[str, Change] | None = None
    compared_to: int = 0
    review: tuple[Mapping[str, Any], ...] = ()
    origins: Origins | None = None

    @property
    def stem(self) -> str:
        return f"{self.number:04d}-{self.kind}"

    @property
    def is_accepted(self) -> bool:
        return self.kind != PREDICTED

    @property
    def changed_voxel_count(self) -> int:
        """Voxels added or removed, over all labels; one that changed from edema to core counts in both."""
        return sum(change.added + change.removed for change in (self.changed_voxels or {}).values())

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> LabelVersion:
        changed = record.get("changed_voxels")
        record["changed_voxels"] = changed and {key: Change(**change) for key, change in changed.items()}
        record["kind"] = LabelKind(record["kind"])
        record["drawn_over"] = tuple(record.get("drawn_over", ()))
        record["review"] = tuple(record.get("review", ()))
        record["origins"] = Origins(**record["origins"]) if record.get("origins") else None
        return cls(**record)


@dataclass(frozen=True)
class CaseRecord:
    """A case as it entered. ``patient`` is a code; ``part`` (training or hold-out) holds for all its patient's cases.

    ``drawn``: the part was drawn by the library, not given. ``images``: SHA-256 of each modality's file.
    ``image_hash``: of the voxels themselves, the same for the same images under any id. ``grids``: of each modality.
    """

    id: str
    patient: str
    part: Part
    drawn: bool
    entered: str
    images: Mapping[str, str]
    image_hash: str
    grids: Mapping[str, Grid]

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "grids": {name: grid.to_json() for name, grid in self.grids.items()}}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> CaseRecord:
        record["part"] = Part(record["part"])
        record["grids"] = {name: Grid.from_json(grid) for name, grid in record["grids"].items()}
        return cls(**record)


@dataclass(frozen=True)
class LibraryCase:
    """A case with all its labels, oldest first, as they are on disk now."""

    folder: Path
    entry: CaseRecord
    labels: tuple[LabelVersion, ...]

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def patient(self) -> str:
        return self.entry.patient

    @property
    def part(self) -> Part:
        return self.entry.part

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.entry.images)

    @property
    def state(self) -> str:
        """``accepted`` (by an expert), ``predicted`` or ``unlabeled``."""
        return ACCEPTED if self.accepted else PREDICTED if self.labels else UNLABELED

    @property
    def accepted(self) -> LabelVersion | None:
        """The newest accepted label, which is used for training."""
        return next((label for label in reversed(self.labels) if label.is_accepted), None)

    @property
    def prediction(self) -> LabelVersion | None:
        """The newest prediction."""
        return next((label for label in reversed(self.labels) if not label.is_accepted), None)

    @property
    def newest(self) -> LabelVersion | None:
        return self.labels[-1] if self.labels else None

    def image_file(self, modality: str) -> Path:
        return self.folder / "images" / f"{modality}.nii.gz"

    def label_file(self, label: LabelVersion) -> Path:
        """The file of a label, in the values of ``label.schema``."""
        return self.folder / "labels" / f"{label.stem}.nii.gz"

    def origins_file(self, label: LabelVersion) -> Path:
        """The file of who decided each voxel of a label, on its grid; there where ``label.origins`` is."""
        return self.folder / "labels" / f"{label.stem}_origin.nii.gz"


def to_record(item: Any) -> dict[str, Any]:
    """A record with its format, as it is written."""
    return {"format": FORMAT, **(item.record() if isinstance(item, CaseRecord) else asdict(item))}


def read_record(file: Path, make: Callable[[dict[str, Any]], RecordT]) -> RecordT:
    """Read what ``to_record`` gave, by the ``from_record`` of its kind.

    Raises:
        LibraryError: the file is missing, damaged, of another format, or of another kind.
    """
    try:
        record = read_json(file)
        version = record.pop("format")
        if version != FORMAT:
            raise LibraryError(f"{file}: is of format {version}, this version reads {FORMAT}", "update voxmmsd")
        return make(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise LibraryError(
            f"{file}: is not a record of a training library ({error!r})",
            "restore it from a backup, or move its case's folder out of the library",
        ) from error
