"""Image files to cases, by their names and by the folders they lie in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.finding.naming import (
    NameReading,
    contradict,
    is_container_folder,
    is_series_number,
    is_session_folder,
    patient_of,
    read_name,
)
from voxmmsd.data.finding.walk import Unplaced
from voxmmsd.data.formats.sources import stem_of
from voxmmsd.labels import MODALITIES

_DERIVATIVES = "derivatives"  # the folder of BIDS


@dataclass(frozen=True)
class _Named:
    path: Path
    reading: NameReading


def group_images(images: Mapping[Path, Sequence[Path]], root: Path, unplaced: Unplaced) -> list[CaseDraft]:
    """Cases among image files by folder; what cannot be placed is added to ``unplaced`` with the reason.

    Images under ``derivatives`` give way: where a case of the same id was scanned, only their labels and brain masks
    are used.
    """
    scanned = {folder: files for folder, files in images.items() if not _is_derivative(folder, root)}
    drafts = _group(scanned, root, unplaced)
    made = {folder: list(files) for folder, files in images.items() if folder not in scanned}
    if scanned and made:
        made = _shared_out(made, {draft.id.casefold(): draft for draft in drafts}, unplaced)
    return drafts + _group(made, root, unplaced)


def _is_derivative(folder: Path, root: Path) -> bool:
    return folder.is_relative_to(root) and _DERIVATIVES in folder.relative_to(root).parts


def _shared_out(
    made: Mapping[Path, Sequence[Path]], scanned: Mapping[str, CaseDraft], unplaced: Unplaced
) -> dict[Path, list[Path]]:
    """Give labels and masks under ``derivatives`` to the cases of their ids; what is left, by folder."""
    left: dict[Path, list[Path]] = defaultdict(list)
    candidates: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for folder, files in made.items():
        for file in files:
            reading = read_name(stem_of(file.name))
            owner = reading.head.casefold()
            if owner not in scanned:
                left[folder].append(file)
            elif reading.kind in ("label", "brain_mask"):
                candidates[owner, reading.kind].append(file)
            else:
                unplaced.append((file, f"is a derivative, and case {scanned[owner].id} has images as scanned"))
    for (owner, kind), paths in candidates.items():
        if getattr(scanned[owner], kind) is None:
            setattr(scanned[owner], kind, scanned[owner].choose(kind, paths))
    return left


def _group(images: Mapping[Path, Sequence[Path]], root: Path, unplaced: Unplaced) -> list[CaseDraft]:
    places: dict[Path, list[_Named]] = defaultdict(list)
    for folder, files in images.items():
        hoisted = folder != root and _names_one_kind(folder, len(files))
        for file in files:
            named = _Named(file, _reading(file, folder if hoisted else None))
            if named.reading.kind in ("result", "unknown"):
                unplaced.append((file, named.reading.why))
            else:
                places[folder.parent if hoisted else folder].append(named)
    _bring_labels_to_images(places)
    return [draft for place, named in places.items() for draft in _cases_of(place, named, root, unplaced)]


def _bring_labels_to_images(places: dict[Path, list[_Named]]) -> None:
    """``labels/`` beside ``images/``: labels in a folder without images go to its one folder ``images``."""
    for place in list(places):
        holders = [p for p in places if p.parent == place != p and is_container_folder(p.name)]
        if len(holders) == 1 and all(one.reading.kind != "modality" for one in places[place]):
            places[holders[0]] += places.pop(place)


def _names_one_kind(folder: Path, file_count: int) -> bool:
    """Whether a folder is a sequence's (``T1/``, ``labels/``), so that its images belong to the folder above."""
    reading = read_name(folder.name)
    return reading.kind in ("modality", "label", "brain_mask") and (
        file_count == 1 or not (reading.head or reading.tail)
    )


def _reading(file: Path, kind_folder: Path | None) -> NameReading:
    stem = stem_of(file.name)
    reading = read_name(stem)
    if kind_folder is not None and reading.kind == "unknown":
        return read_name(f"{kind_folder.name}_{stem}")
    return reading


def _cases_of(place: Path, named: list[_Named], root: Path, unplaced: Unplaced) -> list[CaseDraft]:
    images = [one for one in named if one.reading.kind == "modality"]
    key_of = _grouping(images)
    groups: dict[str, list[_Named]] = defaultdict(list)
    for one in images:
        groups[key_of(one)].append(one)
    drafts = {key: _draft(key, group, place, root, len(groups)) for key, group in groups.items()}
    for kind in ("label", "brain_mask"):
        _attach(kind, [one for one in named if one.reading.kind == kind], drafts, _Owner(groups), unplaced)
    return list(drafts.values())


class _Key:
    """What tells a folder's cases apart: nothing (one case), the words before the sequence, or those behind it."""

    def __init__(self, part: str | None) -> None:
        self.part = part

    def __call__(self, one: _Named) -> str:
        return getattr(one.reading, self.part) if self.part else ""


def _grouping(images: list[_Named]) -> _Key:
    heads = {one.reading.head for one in images}
    unique = max(Counter(one.reading.modality for one in images).values(), default=0) <= 1
    if len(heads) > 1 and not (unique and ("" in heads or _are_series_numbers(heads, len(images)))):
        return _Key("head")
    if not unique and _tails_are_ids(images):
        return _Key("tail")
    return _Key(None)


def _are_series_numbers(heads: set[str], image_count: int) -> bool:
    return len(heads) == image_count and all(map(is_series_number, heads))


def _tails_are_ids(images: list[_Named]) -> bool:
    counts = Counter(one.reading.tail for one in images)
    return len(counts) > 1 and all(tail and count > 1 for tail, count in counts.items())


def _draft(key: str, group: list[_Named], place: Path, root: Path, group_count: int) -> CaseDraft:
    heads = {one.reading.head for one in group}
    shared = key or (heads.pop() if len(heads) == 1 else "")
    id_, patient = _identity(shared, place, root, group_count > 1)
    draft = CaseDraft(id_, patient, place, place if group_count > 1 else place.parent, is_by_name=True)
    derived = _that_give_way(group)
    for name in MODALITIES:
        source = draft.choose(name, [one.path for one in group if one.reading.modality == name], derived)
        if source:
            draft.modalities[name] = source
    if len({one.reading.head for one in group}) > 1:
        draft.notes.append("its files' names begin differently: taken as one case because they share a folder")
    return draft


def _that_give_way(group: Sequence[_Named]) -> list[Path]:
    """The images that were brought to another's space, or, where only these are complete, the others."""
    derived = [one for one in group if one.reading.derived]
    scanned = [one for one in group if not one.reading.derived]
    more = len({one.reading.modality for one in derived}) > len({one.reading.modality for one in scanned})
    return [one.path for one in (scanned if more else derived)]


def _identity(shared: str, place: Path, root: Path, among_others: bool) -> tuple[str, str]:
    """Id and patient of a case: the words its files share where they tell enough, else the folder."""
    folder_id, folder_patient = folder_identity(place)
    tells = len(shared) >= 4 and any(c.isdigit() for c in shared)
    if among_others or (place == root and shared):
        tells = bool(shared)
    if tells and is_session_folder(place.resolve().name) and patient_of(shared) == shared:
        tells = folder_patient.casefold() in shared.casefold()
    return (shared, patient_of(shared)) if tells else (folder_id, folder_patient)


def folder_identity(place: Path) -> tuple[str, str]:
    """Id and patient as a case's folder tells them."""
    folder = place.resolve()
    while is_container_folder(folder.name) and folder.parent != folder:
        folder = folder.parent
    if is_session_folder(folder.name) and folder.parent.name:
        return f"{folder.parent.name}-{folder.name}", patient_of(folder.parent.name)
    return folder.name, patient_of(folder.name)


def _attach(
    kind: str, named: list[_Named], drafts: Mapping[str, CaseDraft], owner_of: _Owner, unplaced: Unplaced
) -> None:
    """Give labels or brain masks to the cases of their folder."""
    found: dict[str, list[Path]] = defaultdict(list)
    for one in named:
        key = owner_of(one)
        if key is None:
            unplaced.append((one.path, f"a {kind.replace('_', ' ')} without images of its case beside it"))
        else:
            found[key].append(one.path)
    for key, paths in found.items():
        setattr(drafts[key], kind, drafts[key].choose(kind, paths))


class _Owner:
    """Which of a folder's cases a label or mask belongs to: that of its name; a lone case's unless the names differ."""

    def __init__(self, groups: Mapping[str, list[_Named]]) -> None:
        heads = {one.reading.head for group in groups.values() for one in group}
        self._groups = groups
        self._head = heads.pop() if len(heads) == 1 else ""

    def __call__(self, one: _Named) -> str | None:
        name = one.reading.head or one.reading.tail
        if list(self._groups) == [""]:
            return None if self._head and contradict(name, self._head) else ""
        return next((key for key in (name, one.reading.tail) if key in self._groups), None)
