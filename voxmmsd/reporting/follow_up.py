"""What became of a patient's lesions from visit to visit, and what RANO 2.0 would call it from the images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from voxmmsd.measuring.lesions import Lesion, matches
from voxmmsd.measuring.response import BY_DIAMETERS, BY_VOLUME, Assessment, assessed, change, change_text
from voxmmsd.reporting.shown import modalities_to_show
from voxmmsd.reporting.visits import Visit

FORMAT = 1


class Event(StrEnum):
    """What became of a lesion, or of several, since the last visit at which they were there."""

    FIRST = "first visit"
    PERSISTENT = "persistent"
    SPLIT = "split"
    MERGED = "merged"
    REGROUPED = "split and merged"
    NEW = "new"
    WITH_NEW = "persistent and new"
    RESOLVED = "resolved"
    REAPPEARED = "reappeared"
    ABSENT = ""


@dataclass(frozen=True)
class Track:
    """A lesion through all visits: with all that it split into, or that merged into it.

    ``parts``: at each visit the lesions, largest first. ``events``: at each visit. ``new``: those of the parts that no
    earlier visit had, whatever they merged with later.
    """

    number: int
    parts: tuple[tuple[Lesion, ...], ...]
    events: tuple[Event, ...]
    new: tuple[tuple[Lesion, ...], ...]

    def volume_ml(self, visit: int) -> float:
        return sum(lesion.volume_ml for lesion in self.parts[visit])

    def product_mm2(self, visit: int) -> float:
        return sum(lesion.diameters.product_mm2 for lesion in self.parts[visit])

    def is_measurable(self, visit: int) -> bool:
        return any(lesion.is_measurable for lesion in self.parts[visit])

    @property
    def first(self) -> int:
        """The visit at which it was first seen."""
        return next(visit for visit, parts in enumerate(self.parts) if parts)


@dataclass(frozen=True)
class FollowUp:
    """``tracks``: by structure, ``ET`` and ``WT``. ``sums_mm2``: of the products of the lesions that were measurable
    when they were first seen, at each visit. ``by_diameters`` and ``by_volume``: for each visit after the first; empty
    without enhancing tumor in the schema."""

    visits: tuple[Visit, ...]
    tracks: Mapping[str, tuple[Track, ...]]
    volumes_ml: tuple[Mapping[str, float], ...]
    sums_mm2: tuple[float, ...]
    by_diameters: tuple[Assessment, ...]
    by_volume: tuple[Assessment, ...]

    def record(self) -> dict[str, Any]:
        """For programs; without dates, paths and names."""
        return {
            "format": FORMAT,
            "patient": self.visits[0].patient,
            "schema": self.visits[0].shown.schema.name,
            "visits": [self._visit(number) for number in range(len(self.visits))],
            "lesions": {key: [_track_record(track, key) for track in tracks] for key, tracks in self.tracks.items()},
        }

    def _visit(self, number: int) -> dict[str, Any]:
        visit = self.visits[number]
        found: dict[str, Any] = {
            "case": visit.shown.case_id,
            "days": visit.days,
            "model": visit.shown.record.model.id,
            "to_first_ras_mm": visit.correction.round(6).tolist(),
            "volumes_ml": {key: round(ml, 4) for key, ml in self.volumes_ml[number].items()},
        }
        if self.sums_mm2:
            found["sum_of_products_mm2"] = round(self.sums_mm2[number], 1)
        if number and self.by_diameters:
            found["rano_by_diameters"] = _assessment_record(self.by_diameters[number - 1])
            found["rano_by_volume"] = _assessment_record(self.by_volume[number - 1])
        return found


def _track_record(track: Track, structure: str) -> dict[str, Any]:
    return {
        "lesion": track.number,
        "visits": [
            {
                "event": str(event),
                "parts": [
                    {
                        "volume_ml": round(part.volume_ml, 4),
                        "center_ras_mm": [round(x, 1) for x in part.center_ras_mm],
                        **(part.diameters.record() if structure == "ET" else {}),
                    }
                    for part in parts
                ],
            }
            for parts, event in zip(track.parts, track.events, strict=True)
        ],
    }


def _assessment_record(found: Assessment) -> dict[str, Any]:
    return {
        "response": str(found.response),
        "change_from_first": _rounded(found.from_baseline),
        "change_from_least": _rounded(found.from_nadir),
        "why": found.why,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def followed(visits: Sequence[Visit]) -> FollowUp:
    """Compare visits that lie on each other (``registered``)."""
    keys = [key for key in ("ET", "WT") if all(key in visit.shown.lesions for visit in visits)]
    tracks = {key: tracks_of(visits, key) for key in keys}
    volumes = tuple(visit.shown.volumes_ml for visit in visits)
    sums: tuple[float, ...] = ()
    by_diameters: list[Assessment] = []
    by_volume: list[Assessment] = []
    if "ET" in tracks:
        there = range(len(visits))
        lesions = [visit.shown.lesions["ET"] for visit in visits]
        gone = [not found.lesions and not found.small for found in lesions]
        traces = [not found.lesions and found.small > 0 for found in lesions]
        new = [_is_new_measurable(tracks["ET"], visit) for visit in there]
        counted = [track for track in tracks["ET"] if track.is_measurable(track.first)]
        sums = tuple(sum(track.product_mm2(visit) for track in counted) for visit in there)
        by_diameters = assessed(sums, BY_DIAMETERS, gone=gone, new=new, traces=traces)
        by_volume = assessed([found["ET"] for found in volumes], BY_VOLUME, gone=gone, new=new, traces=traces)
    return FollowUp(tuple(visits), tracks, volumes, sums, tuple(by_diameters), tuple(by_volume))


def _is_new_measurable(tracks: Sequence[Track], visit: int) -> bool:
    return any(part.is_measurable for track in tracks for part in track.new[visit])


def tracks_of(visits: Sequence[Visit], structure: str) -> tuple[Track, ...]:
    """The lesions of a structure through all visits.

    Each visit is matched with the one before it; what has no counterpart there, with earlier ones, the latest first.
    Numbers are by the visit at which a lesion is first seen, then by volume.
    """
    lesions = [visit.shown.lesions[structure].lesions for visit in visits]
    owner: dict[tuple[int, int], tuple[int, int]] = {
        (visit, part): (visit, part) for visit, found in enumerate(lesions) for part in range(len(found))
    }

    def root(node: tuple[int, int]) -> tuple[int, int]:
        while owner[node] != node:
            node = owner[node]
        return node

    links: set[tuple[tuple[int, int], tuple[int, int]]] = set()
    for later in range(1, len(visits)):
        lonely = set(range(len(lesions[later])))
        for earlier in range(later - 1, -1, -1):
            chosen = sorted(lonely)
            pairs = matches(
                lesions[earlier], visits[earlier].grid, [lesions[later][part] for part in chosen], visits[later].grid
            )
            for before, place in pairs:
                node, other = (earlier, before), (later, chosen[place])
                links.add((node, other))
                first, second = sorted((root(node), root(other)))
                owner[second] = first
                lonely.discard(chosen[place])
    members: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for node in sorted(owner):
        members.setdefault(root(node), []).append(node)
    return tuple(
        _track(number, nodes, lesions, links) for number, (_, nodes) in enumerate(sorted(members.items()), start=1)
    )


def _track(
    number: int,
    nodes: Sequence[tuple[int, int]],
    lesions: Sequence[Sequence[Lesion]],
    links: set[tuple[tuple[int, int], tuple[int, int]]],
) -> Track:
    parts = [[part for visit, part in nodes if visit == here] for here in range(len(lesions))]
    events = []
    for here, there in enumerate(parts):
        before = next((visit for visit in range(here - 1, -1, -1) if parts[visit]), None)
        events.append(_event(here, there, before, parts, links))
    found = tuple(tuple(lesions[here][part] for part in there) for here, there in enumerate(parts))
    new = tuple(
        tuple(lesions[here][part] for part in _unlinked(here, there, links)) for here, there in enumerate(parts)
    )
    return Track(number, found, tuple(events), new)


def _unlinked(here: int, there: Sequence[int], links: set[tuple[tuple[int, int], tuple[int, int]]]) -> list[int]:
    """The parts of a visit after the first that have no counterpart at any earlier one."""
    known = {later for _, later in links}
    return [part for part in there if here > 0 and (here, part) not in known]


def _event(
    here: int,
    there: Sequence[int],
    before: int | None,
    parts: Sequence[Sequence[int]],
    links: set[tuple[tuple[int, int], tuple[int, int]]],
) -> Event:
    if not there:
        return Event.RESOLVED if before == here - 1 and before is not None else Event.ABSENT
    if before is None:
        return Event.FIRST if here == 0 else Event.NEW
    if before < here - 1:
        return Event.REAPPEARED
    if _unlinked(here, there, links):
        return Event.WITH_NEW
    split = any(sum(((before, old), (here, part)) in links for part in there) > 1 for old in parts[before])
    merged = any(sum(((before, old), (here, part)) in links for old in parts[before]) > 1 for part in there)
    if split and merged:
        return Event.REGROUPED
    return Event.SPLIT if split else Event.MERGED if merged else Event.PERSISTENT


def common_modality(found: FollowUp) -> str:
    """That by which the visits were registered, and in which they are shown."""
    common = [n for n in found.visits[0].shown.images if all(n in visit.shown.images for visit in found.visits)]
    return modalities_to_show(dict.fromkeys(common), 1)[0]


def share_of(before: float, after: float) -> str:
    """Change as text: ``+25 %``; empty where nothing was there before."""
    found = change(before, after)
    return "" if found is None else change_text(found)
