"""The follow-up as a page, a table, a chart and a record: ``follow-up.html``, ``.csv``, ``.png`` and ``.json``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.evaluation.pictures import BACKGROUND, LINES, TEXT, save_figure, seen_slice, tumor_slices
from voxmmsd.files import write_json_atomic, write_text_atomic, written_aside
from voxmmsd.labels import MODALITY_NAMES
from voxmmsd.measuring.lesions import MIN_ML, indices_of
from voxmmsd.measuring.response import BY_DIAMETERS, BY_VOLUME, CAVEAT, NAMES, Assessment, Thresholds, change_text
from voxmmsd.reporting.case_pictures import draw_slice, gray_top
from voxmmsd.reporting.contents import DIAMETERS
from voxmmsd.reporting.follow_up import Event, FollowUp, Track, common_modality, share_of
from voxmmsd.wording import counted

PAGE, TABLE, CHART, RECORD = "follow-up.html", "follow-up.csv", "follow-up.png", "follow-up.json"
_NAMES = {"ET": "Enhancing tumor", "WT": "Whole tumor"}
_NOW, _THEN = "#ffb000", "#ffffff"  # outlines: of the visit itself, and of the first one


def write_follow_up(found: FollowUp, folder: Path) -> tuple[Path, Path, Path, Path]:
    """Write page, table, chart and record; the record last: where it is, all is there."""
    page, table, chart, record = (folder / name for name in (PAGE, TABLE, CHART, RECORD))
    _write_page(found, page)
    write_text_atomic(table, csv_text(found))
    with written_aside(chart) as aside:
        _chart(found, aside, upright=True)
    write_json_atomic(record, found.record())
    return page, table, chart, record


def visit_name(found: FollowUp, number: int) -> str:
    """``day 93``, or ``visit 2`` where days are not known."""
    days = found.visits[number].days
    return f"visit {number + 1}" if days is None else f"day {days}"


def csv_text(found: FollowUp) -> str:
    """A row per structure, lesion and visit, and per region and visit."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["structure", "lesion", "visit", "days", "event", "volume_ml", "product_mm2", "measurable"])
    for number, (visit, volumes) in enumerate(zip(found.visits, found.volumes_ml, strict=True)):
        days = "" if visit.days is None else visit.days
        for key, volume in volumes.items():
            writer.writerow([key, "all", number + 1, days, "", f"{volume:.4f}", "", ""])
        for key, tracks in found.tracks.items():
            for track in tracks:
                measured = [f"{track.product_mm2(number):.1f}", int(track.is_measurable(number))]
                cells = measured if key == "ET" else ["", ""]
                writer.writerow(
                    [
                        key,
                        track.number,
                        number + 1,
                        days,
                        track.events[number],
                        f"{track.volume_ml(number):.4f}",
                        *cells,
                    ]
                )
    return stream.getvalue()


def _write_page(found: FollowUp, file: Path) -> Path:
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        folder = Path(place)
        pictures = [(_slices(found, folder / "slices.png"), _slices_caption(found))]
        chart = [(_chart(found, folder / "chart.png"), "Over all visits.")]
        sections = [
            Section("Summary", _summary(found)),
            Section("Pictures", pictures=pictures),
            *_response(found),
            Section("Volumes", ["In ml, with the change since the first visit."], _volume_rows(found), chart),
            *(_lesions(found, key) for key in found.tracks),
            Section("Visits", _visit_notes(found), _visit_rows(found)),
        ]
        patient = found.visits[0].patient
        return write_report(file, f"Follow-up of {patient}" if patient else "Follow-up", sections, dated=False)


def _summary(found: FollowUp) -> list[str]:
    """A sentence for each visit after the first, and one for visits without a tumor."""
    said = []
    for number in range(1, len(found.visits)):
        parts = []
        for key in found.tracks:
            before, now = found.volumes_ml[number - 1][key], found.volumes_ml[number][key]
            share = share_of(before, now)
            parts.append(f"{_NAMES[key].lower()} {before:.1f} to {now:.1f} ml" + (f" ({share})" if share else ""))
        events = _events(found, number)
        sentence = _sentence(f"{visit_name(found, number)}: {', '.join(parts)}")
        said.append(sentence + (f"; {events}." if events else "."))
    said += _small_pieces(found)
    empty = [visit_name(found, n) for n, visit in enumerate(found.visits) if not visit.shown.label_zyx.any()]
    return [*said, *([f"No tumor at {', '.join(empty)}."] if empty else [])]


def _small_pieces(found: FollowUp) -> list[str]:
    """Pieces too small to be lesions, which are in no row: without them a lesion may be called resolved or new."""
    key = next(iter(found.tracks), "")
    said = []
    for number, visit in enumerate(found.visits):
        lesions = visit.shown.lesions.get(key)
        if lesions is not None and lesions.small:
            pieces = f"{counted(lesions.small, 'piece')} below {MIN_ML:g} ml ({lesions.small_ml:.2f} ml in all)"
            said.append(_sentence(f"{visit_name(found, number)}: also {pieces} of {_NAMES[key].lower()}") + ".")
    if said:
        said.append(
            "Such pieces are not counted as lesions: a lesion that is called resolved or new may be one of them."
        )
    return said


def _events(found: FollowUp, number: int) -> str:
    """New, resolved, split and merged lesions of a visit, by their numbers."""
    key = next(iter(found.tracks), "")
    texts = []
    for event in (
        Event.NEW,
        Event.WITH_NEW,
        Event.REAPPEARED,
        Event.RESOLVED,
        Event.SPLIT,
        Event.MERGED,
        Event.REGROUPED,
    ):
        lesions = [str(track.number) for track in found.tracks.get(key, ()) if track.events[number] == event]
        if lesions:
            texts.append(f"{event}: lesion {' and '.join(lesions)}" if len(lesions) < 3 else
                        f"{event}: lesions {', '.join(lesions)}")  # fmt: skip
    return "; ".join(texts)


def _response(found: FollowUp) -> list[Section]:
    if not found.by_diameters:
        return [Section("RANO 2.0", ["The schema has no enhancing tumor: nothing is measured."])]
    rows = [["", "sum of products mm²", "since first", "since nadir", "category", "ET ml", "since first", "since nadir",
             "category"]]  # fmt: skip
    for number in range(len(found.visits)):
        size, volume = found.sums_mm2[number], found.volumes_ml[number]["ET"]
        by_size, by_volume = (_cells(each, number) for each in (found.by_diameters, found.by_volume))
        rows.append([visit_name(found, number), f"{size:.0f}", *by_size, f"{volume:.1f}", *by_volume])
    kinds = ", ".join(f"{short} {name}" for short, name in NAMES.items())
    text = (
        "Sum of the products of the diameters of the lesions that were measurable when first seen: "
        f"{_limits(BY_DIAMETERS)}. Volume of all enhancing tumor: {_limits(BY_VOLUME)}. A new measurable lesion is "
        "progression. All lesions count, none is chosen as a target. The first visit is taken for the baseline. "
        "Wen et al., J Clin Oncol 41:5187, 2023, doi 10.1200/JCO.23.01059."
    )
    return [Section("RANO 2.0, from the images alone", [f"{kinds}.", CAVEAT, text, *_reasons(found)], rows)]


def _limits(limits: Thresholds) -> str:
    return (
        f"PR: at least {limits.less:.0%} less than at the first visit; PD: at least {limits.more:.0%} above the nadir"
    )


def _cells(assessments: Sequence[Assessment], number: int) -> list[str]:
    if number == 0:
        return ["", "", "baseline"]
    found = assessments[number - 1]
    shares = ["" if value is None else change_text(value) for value in (found.from_baseline, found.from_nadir)]
    return [*shares, str(found.response)]


def _reasons(found: FollowUp) -> list[str]:
    said = []
    for number in range(1, len(found.visits)):
        parts = [
            f"by {name} {one.response}" + (f" ({one.why})" if one.why else "")
            for name, one in (("diameters", found.by_diameters[number - 1]), ("volume", found.by_volume[number - 1]))
        ]
        said.append(_sentence(f"{visit_name(found, number)}: {', '.join(parts)}."))
    return said


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _volume_rows(found: FollowUp) -> list[list[str]]:
    schema = found.visits[0].shown.schema
    names = {**{region.key: region.name for region in schema.regions}, **{lb.key: lb.name for lb in schema.labels}}
    rows = [["structure", *_columns(found, "")]]
    for key, name in names.items():
        rows.append([f"{name} ({key})", *_with_changes([volumes[key] for volumes in found.volumes_ml], ".1f")])
    return rows


def _columns(found: FollowUp, unit: str) -> list[str]:
    cells = []
    for number in range(len(found.visits)):
        cells += [visit_name(found, number) + unit] + (["change"] if number else [])
    return cells


def _with_changes(values: Sequence[float], form: str) -> list[str]:
    cells = []
    for number, value in enumerate(values):
        cells += [format(value, form)] + ([share_of(values[0], value) or "-"] if number else [])
    return cells


def _lesions(found: FollowUp, key: str) -> Section:
    tracks = found.tracks[key]
    heading = f"Lesions: {_NAMES[key].lower()}"
    if not tracks:
        return Section(heading, [f"None of {MIN_ML:g} ml or more."])
    rows = [["lesion", "visit", "what became of it", "ml", "change"] + (["diameters mm", "product mm²", "change"] if
            key == "ET" else [])]  # fmt: skip
    for track in tracks:
        rows += [_lesion_row(found, track, number, key) for number in range(len(found.visits)) if track.events[number]]
    texts = ["Change: since the visit at which the lesion was first seen. Parts of a split lesion count together."]
    return Section(heading, [*texts, *([DIAMETERS] if key == "ET" else [])], rows)


def _lesion_row(found: FollowUp, track: Track, number: int, key: str) -> list[str]:
    first, volume = track.first, track.volume_ml(number)
    event = track.events[number]
    parts = track.parts[number]
    count = f" into {len(parts)}" if event == Event.SPLIT else ""
    row = [
        str(track.number),
        visit_name(found, number),
        f"{event}{count}",
        f"{volume:.2f}",
        share_of(track.volume_ml(first), volume) if number > first else "",
    ]
    if key != "ET":
        return row
    texts = [part.diameters.text().removesuffix(" mm") + ("" if part.is_measurable else " *") for part in parts]
    product = track.product_mm2(number)
    change = share_of(track.product_mm2(first), product) if number > first else ""
    return [*row, ", ".join(texts) or "-", f"{product:.0f}", change]


def _visit_rows(found: FollowUp) -> list[list[str]]:
    rows = [["visit", "case", "days since the first", "model", "images"]]
    for number, visit in enumerate(found.visits):
        days = "" if visit.days is None else str(visit.days)
        images = ", ".join(MODALITY_NAMES[name] for name in visit.shown.images)
        rows.append([f"visit {number + 1}", visit.shown.case_id, days, visit.shown.record.model.id, images])
    return rows


def _visit_notes(found: FollowUp) -> list[str]:
    notes = [visit.registration for visit in found.visits if visit.registration]
    models = {visit.shown.record.model.id for visit in found.visits if visit.shown.record.model.id}
    if len(models) > 1:
        notes.append("The visits were segmented by different models: part of the change may be theirs.")
    return [*notes, "* not measurable. Registration moves nothing in the tables: each visit is measured as scanned."]


def _slices_caption(found: FollowUp) -> str:
    name = MODALITY_NAMES[common_modality(found)]
    return f"{name}, registered, the same axial slice: the visit's own outline in orange, that of the first in white."


def _slices(found: FollowUp, file: Path) -> Path:
    """Each visit's slice through the largest extent over all visits, on the first visit's grid."""
    grid = found.visits[0].shown.grid
    key = "ET" if "ET" in found.tracks and any(volumes["ET"] for volumes in found.volumes_ml) else "WT"
    name = common_modality(found)
    masks = [_carried(found, number, key, grid) for number in range(len(found.visits))]
    place = tumor_slices(np.any(masks, axis=0), grid.shape_zyx)[0]
    height = grid.shape_zyx[1] * grid.spacing_mm_zyx[1] / (grid.shape_zyx[2] * grid.spacing_mm_zyx[2])
    figure = Figure((3.4 * len(masks), 3.4 * height + 0.7), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(1, len(masks), squeeze=False)[0]
    for number, (panel, visit) in enumerate(zip(axes, found.visits, strict=True)):
        image = resample(Volume(visit.shown.images[name], visit.grid), grid).array
        draw_slice(panel, image, 0, place, grid, gray_top(visit.shown.images[name]))
        for mask, color, style in ((masks[0], _THEN, "dashed"), (masks[number], _NOW, "solid")):
            seen = seen_slice(mask, 0, place)
            if seen.any() and (number or color == _NOW):
                panel.contour(seen, levels=[0.5], colors=[color], linewidths=1.0, linestyles=style)
        panel.set_title(visit_name(found, number), color=TEXT, fontsize=10)
    handles = [
        Line2D([], [], color=_NOW, label=f"{_NAMES[key].lower()} at this visit"),
        Line2D([], [], color=_THEN, linestyle="dashed", label="at the first visit"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, labelcolor=TEXT, fontsize=9)
    return save_figure(figure, file)


def _carried(found: FollowUp, number: int, key: str, grid: Grid) -> np.ndarray:
    """A visit's structure on the first visit's grid, bool ``(z, y, x)``."""
    visit = found.visits[number]
    mask = np.isin(visit.shown.label_zyx, indices_of(visit.shown.schema, key)).astype(np.uint8)
    return resample(Volume(mask, visit.grid), grid, order=0).array > 0


def _chart(found: FollowUp, file: Path, *, upright: bool = False) -> Path:
    """Volumes and the sum of products over days, or over visits where days are not known; ``upright``: one below the
    other, for a narrow place."""
    known = all(visit.days is not None for visit in found.visits)
    at = [visit.days if known else number + 1 for number, visit in enumerate(found.visits)]
    figure = Figure((4.2, 5.2) if upright else (8.4, 3.2), layout="constrained")
    left, right = figure.subplots(*((2, 1) if upright else (1, 2)))
    for key, color in zip(found.tracks, LINES, strict=False):
        left.plot(at, [volumes[key] for volumes in found.volumes_ml], "o-", color=color, label=_NAMES[key])
    left.set(title="Volume", ylabel="ml")
    right.set(title="Sum of products of diameters", ylabel="mm²")
    if found.sums_mm2:
        right.plot(at, found.sums_mm2, "o-", color=LINES[0])
    for panel in (left, right):
        _finish(panel, at, known)
    left.legend(frameon=False, fontsize=8)
    return save_figure(figure, file)


def _finish(panel: Any, at: Sequence[Any], known: bool) -> None:
    highest = max((float(np.max(line.get_ydata())) for line in panel.lines), default=0.0)
    panel.set_ylim(0, 1.08 * highest or 1)
    panel.set_xlabel("days since the first visit" if known else "visit")
    if not known:
        panel.set_xticks(at)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
