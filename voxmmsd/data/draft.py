"""A case in the making: gathered from names, not yet given its final id and schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxmmsd.data.naming import natural_key
from voxmmsd.data.sources import Source


@dataclass
class Draft:
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

    def choose(self, slot: str, candidates: Sequence[Path]) -> Source | None:
        """The one image for a slot: of several the shortest name, then the first in order; which is noted."""
        if not candidates:
            return None
        chosen, *others = sorted(candidates, key=lambda path: (len(path.name), natural_key(str(path))))
        if others:
            names = ", ".join(path.name for path in others)
            self.notes.append(
                f"{len(candidates)} images look like {slot}: took {chosen.name}, the shortest name, not {names}; "
                "a list file says otherwise"
            )
        return Source(chosen)
