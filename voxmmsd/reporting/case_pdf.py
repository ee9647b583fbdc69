"""The report of a case as one page of A4, through matplotlib's PDF backend, which keeps text as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.evaluation.html import DISCLAIMER
from voxmmsd.evaluation.pictures import BACKGROUND
from voxmmsd.files import written_aside
from voxmmsd.reporting.case_pictures import MAX_LESIONS, draw_lesions, draw_planes, drawn_lesions, fields_mm, legend
from voxmmsd.reporting.contents import DIAMETERS, Report
from voxmmsd.reporting.shown import ShownCase, modalities_to_show

_WIDTH, _HEIGHT, _EDGE = 8.27, 11.69, 0.5  # inches
_LINE = 0.165  # inches from line to line of small text
_SMALL, _FINE, _INK, _SOFT = 7.5, 6.5, "#111418", "#5a6068"
_HIGHEST = 1.62  # inches of a row of pictures
_MAX_ROWS = 5
_FAMILY = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic
_OF_OTHER_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Thai", "Noto Sans Devanagari", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "Leelawadee UI", "Nirmala UI", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo",
)  # fmt: skip


def write_pdf(report: Report, shown: ShownCase, file: Path) -> Path:
    """Write the page atomically."""
    figure = pdf_page(report, shown)
    with written_aside(file) as aside:
        FigureCanvasPdf(figure).print_pdf(aside, metadata={"CreationDate": None, "Title": report.title})
    return file


@cache
def _families() -> list[str]:
    """Matplotlib's own font, and those of other scripts that are installed, which stand in for what it lacks."""
    installed = {font.name for font in fontManager.ttflist}
    return [_FAMILY, *(name for name in _OF_OTHER_SCRIPTS if name in installed)]


def _printable(text: str) -> str:
    """The text, or a word on where it is, if no font has its letters: boxes would name nobody."""
    fonts = [get_font(findfont(FontProperties(family=name))) for name in _families()]
    has_all = all(any(ord(letter) in font.get_charmap() for font in fonts) for letter in text if not letter.isspace())
    return text if has_all else "(its letters are in no installed font: see the HTML page)"


def pdf_page(report: Report, shown: ShownCase) -> Figure:
    """The page as a figure. What does not fit is left to the HTML page, and said to be there."""
    figure = Figure((_WIDTH, _HEIGHT), facecolor="white")
    page = _Page(figure)
    page.text(_printable(report.title), 14, weight="bold")
    page.text(_printable(report.patient_name), 11)
    page.text(f"Made {now()[:10]} by voxmmsd {voxmmsd.__version__}. {DISCLAIMER}", _SMALL, color=_SOFT)
    for line in report.origin:
        page.text(line, _FINE, color=_SOFT)
    _pictures(page, shown)
    left, right = page.column(0.0, 0.56), page.column(0.6, 1.0)
    left.heading("Volumes")
    left.table(report.volumes, (0.0, 0.53, 0.62, 0.81, 1.0), _SHORT_VOLUMES)
    left.text(report.expectation, _FINE, color=_SOFT)
    right.heading("Enhancing lesions")
    right.table([[*row[:5], row[6]] for row in report.lesions], (0.0, 0.2, 0.4, 0.64, 0.83, 1.0), _SHORT)
    for note in (*report.lesion_notes, DIAMETERS):
        right.text(note, _FINE, color=_SOFT)
    page.top = max(left.top, right.top)
    page.heading("Places to check")
    page.table(report.places, (0.0, 0.25, 0.33, 0.62, 0.88))
    if not report.places:
        page.text("None.", _SMALL)
    page.heading("Findings")
    page.as_many_as_fit(report.findings or ["None."])
    return figure


_SHORT_VOLUMES = {"expected Dice": "Dice", "at that Dice, ml": "range, ml", "median error": "error"}
_SHORT = {"longest mm": "longest", "perpendicular mm": "perpend.", "product mm²": "mm²", "measurable": "meas."}


def _pictures(page: _Page, shown: ShownCase) -> None:
    names = modalities_to_show(shown.images)
    widths, heights = fields_mm(shown)
    room = _WIDTH - 2 * _EDGE
    scale = min(room / sum(widths), _HIGHEST / max(heights))
    left, bottom, right, top = page.room(max(heights) * scale * len(names))
    spare = (room - sum(widths) * scale) / 2 / _WIDTH
    part = page.figure.add_gridspec(len(names), 3, left=left + spare, right=right - spare, bottom=bottom, top=top,
                                    width_ratios=widths, wspace=0.01, hspace=0.01)  # fmt: skip
    axes = part.subplots(squeeze=False)
    for panel in axes.ravel():
        panel.set_facecolor(BACKGROUND)
    draw_planes(axes, shown, names, _INK, _SMALL)
    drawn = drawn_lesions(shown)
    if drawn:
        page.top += 0.2
        box = page.room(1.25)
        spare = (box[2] - box[0]) * (MAX_LESIONS - len(drawn)) / MAX_LESIONS / 2
        part = page.figure.add_gridspec(1, len(drawn), left=box[0] + spare, right=box[2] - spare, bottom=box[1],
                                        top=box[3], wspace=0.05)  # fmt: skip
        draw_lesions(part.subplots(squeeze=False)[0], shown, _INK, _SMALL)
    page.figure.legend(handles=legend(shown.schema), loc="upper center", ncols=5, frameon=False, fontsize=_SMALL,
                       bbox_to_anchor=(0.5, 1 - page.top / _HEIGHT))  # fmt: skip
    page.top += 0.3


class _Page:
    """Text from top to bottom; ``top`` is where the next line begins, in inches from the upper edge."""

    def __init__(self, figure: Figure, left: float = 0.0, right: float = 1.0, top: float = _EDGE) -> None:
        self.figure, self.top = figure, top
        full = _WIDTH - 2 * _EDGE
        self._left, self._width = _EDGE + left * full, (right - left) * full

    def column(self, left: float, right: float, top: float | None = None) -> _Page:
        return _Page(self.figure, left, right, self.top if top is None else top)

    def room(self, height: float) -> tuple[float, float, float, float]:
        """Take ``height`` inches; left, bottom, right and top of them as shares of the page."""
        self.top += height
        bottom = 1 - self.top / _HEIGHT
        return self._left / _WIDTH, bottom, (self._left + self._width) / _WIDTH, bottom + height / _HEIGHT

    def heading(self, text: str) -> None:
        self.top += 0.08
        self.text(text, 9, weight="bold")
        self.top += 0.02

    def text(self, text: str, size: float, **style: Any) -> None:
        """Wrapped to the width; nothing for an empty text."""
        for line in self._wrapped(text, size):
            self._put(line, 0.0, size, **style)
            self.top += _LINE * size / _SMALL

    def _wrapped(self, text: str, size: float) -> list[str]:
        return textwrap.wrap(text, int(self._width * 72 / (size * 0.53)))  # about the mean width of a letter

    def as_many_as_fit(self, texts: Sequence[str]) -> None:
        """Small texts until the page is full; how many are left is said."""
        for number, text in enumerate(texts):
            lines = len(self._wrapped(text, _SMALL)) + (number + 1 < len(texts))
            if self.top + lines * _LINE > _HEIGHT - _EDGE:
                self.text(f"and {len(texts) - number} more: see the page", _FINE, color=_SOFT)
                return
            self.text(text, _SMALL)

    def table(self, rows: Sequence[Sequence[str]], ends: Sequence[float], short: dict[str, str] | None = None) -> None:
        """A heading and the first rows. ``ends``: where columns end, as shares of the width; the first begins at 0."""
        if not rows:
            return
        for number, row in enumerate(rows[: _MAX_ROWS + 1]):
            for column, (cell, end) in enumerate(zip(row, ends, strict=True)):
                words = (short or {}).get(cell, cell)
                style = {"weight": "bold"} if number == 0 else {}
                self._put(words, end, _SMALL, ha="left" if column == 0 else "right", **style)
            self.top += _LINE
        if len(rows) > _MAX_ROWS + 1:
            self.text(f"and {len(rows) - _MAX_ROWS - 1} more: see the page", _FINE, color=_SOFT)
        self.top += 0.04

    def _put(self, text: str, share: float, size: float, **style: Any) -> None:
        place = ((self._left + share * self._width) / _WIDTH, 1 - self.top / _HEIGHT)
        self.figure.text(*place, text, fontsize=size, va="top", fontfamily=_families(), **{"color": _INK, **style})
