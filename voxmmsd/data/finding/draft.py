"""A case in the making: gathered from names, not yet given its final id and schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxmmsd.data.formats.sources import Source
from voxmmsd.ids import natural_key


@dataclass
class CaseDraft:
    """``place`` is the folder the case's files lie in; ``dataset`` the folder of the data set it belongs to."""

    id: str
    patient_id: str
    place: Path
    dataset: Path
    modalities: dict[str, Source] = field(default_factory=dict)
    label: Source | None = None
    brain_mask: Source | None = None
    schema: str | None = None
    notes: list[str] = field(default_factory=list)
    undecided: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    is_by_name: bool = False

    def choose(self, slot: str, candidates: Collection[Path], derived: Collection[Path] = ()) -> Source | None:
        """The one image for a slot; images of ``derived`` give way to others, which is noted.

        Where several are left, the shortest name (then the first in order) is taken for now and ``undecided`` holds
        them all: what matters stops there (``preflight.check.check_choices``).
        """
        if not candidates:
            return None
        ordered = sorted(candidates, key=lambda path: (len(path.name), natural_key(str(path))))
        first = [path for path in ordered if path not in derived] or ordered
        later = [path.name for path in ordered if path not in first]
        if later:
            others = ", ".join(later)
            self.notes.append(f"{slot}: took {first[0].name}, not {others}: one was brought to another image's space")
        if len(first) > 1:
            self.undecided[slot] = tuple(first)
            self.notes.append(f"{two_fit(slot, self.undecided[slot])}: a list of cases says which is meant")
        return Source(first[0])


def two_fit(slot: str, images: Sequence[Path]) -> str:
    """Says that several images fit one slot."""
    return f"{len(images)} images fit {slot}: {', '.join(path.name for path in images)}"
