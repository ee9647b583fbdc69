"""What the core's follow-up says, as rows and sentences of the panel."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.labels import schema_named
from voxmmsd.measuring.response import NAMES as CATEGORIES
from voxmmsd.measuring.response import change, change_text
from VoxMMSDSegmentLib.shown_visits import visit_name

Record = Mapping[str, Any]
_EVENTS = {
    "first visit": _("present"),
    "persistent": _("persistent"),
    "split": _("split"),
    "merged": _("merged"),
    "split and merged": _("split and merged"),
    "new": _("new"),
    "persistent and new": _("persistent and new"),
    "resolved": _("resolved"),
    "reappeared": _("reappeared"),
    "": "",
}


def volume_rows(record: Record, later: int) -> list[tuple[str, str, str, str]]:
    """Structure, ml at the first visit and at a later one, and the change."""
    schema = schema_named(record["schema"])
    names = {**{region.key: region.name for region in schema.regions}, **{one.key: one.name for one in schema.labels}}
    first, now = record["visits"][0], record["visits"][later]
    rows = []
    for key, name in names.items():
        before, after = first["volumes_ml"][key], now["volumes_ml"][key]
        rows.append((_("{name}, ml").format(name=name), _ml_text(before), _ml_text(after), share_of(before, after)))
    if "sum_of_products_mm2" in first:
        before, after = first["sum_of_products_mm2"], now["sum_of_products_mm2"]
        rows.append((_("Sum of products, mm²"), f"{before:.0f}", f"{after:.0f}", share_of(before, after)))
    return rows


def lesion_rows(record: Record, later: int) -> list[tuple[str, str, str, str]]:
    """Of each lesion what became of it, its ml, and below its diameters in mm; of split lesions the largest part."""
    rows = []
    for lesion in _lesions(record):
        first, now = lesion["visits"][0], lesion["visits"][later]
        if not first["parts"] and not now["parts"] and not now["event"]:
            continue
        event = _EVENTS.get(now["event"], now["event"])
        if bool(first["parts"]) != bool(now["parts"]):
            event = _("resolved") if first["parts"] else _("new")
        number = lesion["lesion"]
        before, after = _ml(first), _ml(now)
        title = _("{number} {event}, ml").format(number=number, event=event)
        rows.append((title, _ml_text(before), _ml_text(after), share_of(before, after)))
        if any("product_mm2" in part for part in (*first["parts"], *now["parts"])):
            products = [sum(part["product_mm2"] for part in one["parts"]) for one in (first, now)]
            title = _("{number} diameters, mm").format(number=number)
            rows.append((title, _diameters(first), _diameters(now), share_of(*products)))
    return rows


def summary(record: Record, later: int) -> str:
    """Rich text: the categories, and the lesions that are new or gone."""
    visit = record["visits"][later]
    name = visit_name(record, later)
    lines = []
    if "rano_by_diameters" in visit:
        by_diameters, by_volume = visit["rano_by_diameters"], visit["rano_by_volume"]
        head = _("RANO 2.0 at {visit}, from the images alone").format(visit=name)
        lines.append(f"<b>{escape(head)}</b>")
        lines.append(_("By diameters: {category}").format(category=_category(by_diameters)))
        lines.append(_("By volume: {category}").format(category=_category(by_volume)))
    else:
        lines.append(_("The labels have no enhancing tumor: there is no category of RANO 2.0."))
    for text, found in (
        (_("New since {visit}: {lesions}"), _new(record, later)),
        (_("Resolved since {visit}: {lesions}"), _gone(record, later)),
    ):
        if found:
            lines.append(f"<b>{escape(text.format(visit=visit_name(record, 0), lesions=', '.join(found)))}</b>")
    empty = [visit_name(record, number) for number, one in enumerate(record["visits"]) if not any(_volumes(one))]
    if empty:
        lines.append(escape(_("No tumor at {visits}.").format(visits=", ".join(empty))))
    return "<br>".join(lines)


def share_of(before: float, after: float) -> str:
    """Change as text; ``-`` where nothing was there before."""
    found = change(before, after)
    return "-" if found is None else change_text(found)


def _lesions(record: Record) -> list[Record]:
    """Of enhancing tumor where the labels have it, else of the whole tumor."""
    return record["lesions"].get("ET") or record["lesions"].get("WT") or []


def _ml(visit: Record) -> float:
    return sum(part["volume_ml"] for part in visit["parts"])


def _ml_text(ml: float) -> str:
    return f"{ml:.1f}" if ml >= 10 else f"{ml:.2f}"


def _volumes(visit: Record) -> list[float]:
    return list(visit["volumes_ml"].values())


def _diameters(visit: Record) -> str:
    if not visit["parts"]:
        return "-"
    largest = max(visit["parts"], key=lambda part: part["product_mm2"])
    more = f" +{len(visit['parts']) - 1}" if len(visit["parts"]) > 1 else ""
    return f"{largest['longest_mm']:.0f} × {largest['perpendicular_mm']:.0f}{more}"


def _category(found: Record) -> str:
    words = CATEGORIES[found["response"]]
    why = [found["why"]] if found["why"] else []
    why += [
        text.format(share=change_text(value))
        for text, value in (
            (_("{share} since the first visit"), found["change_from_first"]),
            (_("{share} since the nadir"), found["change_from_least"]),
        )
        if value is not None
    ]
    return escape(f"{found['response']}, {words}" + (f" ({'; '.join(why)})" if why else ""))


def _new(record: Record, later: int) -> list[str]:
    return [
        _named(lesion, later)
        for lesion in _lesions(record)
        if not lesion["visits"][0]["parts"] and lesion["visits"][later]["parts"]
    ]


def _gone(record: Record, later: int) -> list[str]:
    return [
        _named(lesion, 0)
        for lesion in _lesions(record)
        if lesion["visits"][0]["parts"] and not lesion["visits"][later]["parts"]
    ]


def _named(lesion: Record, visit: int) -> str:
    return _("lesion {number} ({ml:.1f} ml)").format(number=lesion["lesion"], ml=_ml(lesion["visits"][visit]))
