"""The list of a follow-up's visits: results in the scene and files, the earliest first, and the days between them.

Once every visit has a day, typed or by DICOM, the list is in the order of time by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from VoxMMSDLib import settings, tables
from VoxMMSDLib.pages import Page
from VoxMMSDLib.segments import MODEL, is_result
from VoxMMSDSegmentLib.dicom_visits import day_of

MAX_ROWS = 5
_RESULT, _LIBRARY_CASE = "*-voxmmsd.nii.gz", "case.json"


@dataclass
class Visit:
    """A row. ``source``: a result in the scene, or the path of a result or of a library's case. ``typed``: days."""

    source: Any
    name: str
    day: date | None = None
    typed: str = ""

    @property
    def is_there(self) -> bool:
        return isinstance(self.source, Path) or bool(slicer.mrmlScene.IsNodePresent(self.source))


class VisitsBox:
    """``on_changed`` hears that the visits are others, or in another order."""

    def __init__(self, ui: Page, on_changed: Callable[[], None]) -> None:
        self._ui, self._on_changed = ui, on_changed
        self.visits: list[Visit] = []
        self._is_locked = False
        self._is_filling = False
        ui.visitSelector.addAttribute("vtkMRMLSegmentationNode", MODEL)
        ui.visitSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._update_buttons)
        ui.addVisitButton.connect("clicked()", self._add_chosen)
        ui.addFilesButton.connect("clicked()", self._add_files)
        ui.visitUpButton.connect("clicked()", self._move_up)
        ui.removeVisitButton.connect("clicked()", self._remove)
        ui.visitsTable.connect("cellChanged(int,int)", self._typed)
        ui.visitsTable.connect("itemSelectionChanged()", self._update_buttons)
        tables.prepare(ui.visitsTable, stretched=0, most_rows=MAX_ROWS)
        self._fill(None)

    @property
    def sources(self) -> list[Any]:
        return [visit.source for visit in self.visits]

    @property
    def are_there(self) -> bool:
        """Whether no result that is listed has gone from the scene."""
        return all(visit.is_there for visit in self.visits)

    def days(self) -> list[int]:
        """Days since the first visit; empty where none are given.

        Raises:
            InputError: they are given for some visits only, are no numbers, or are the same for two visits.
        """
        texts = self._days()
        if not any(texts):
            return []
        if not all(texts):
            raise InputError(_("days are given for some visits only"), _("give them for each visit, or for none"))
        wrong = next((text for text in texts if not _is_number(text)), "")
        if wrong:
            raise InputError(_("{text}: is not a number of days").format(text=wrong), _("give whole days, such as 93"))
        days = [int(text) for text in texts]
        twice = next((day for day in days if days.count(day) > 1), None)
        if twice is not None:
            raise InputError(
                _("two visits have the same day ({day})").format(day=twice),
                _("type another day for one of them, or remove it"),
            )
        return [day - days[0] for day in days]

    def add(self, source: Any) -> None:
        """A result in the scene, or a path; one that is listed already stays where it is."""
        if any(visit.source is source or visit.source == source for visit in self.visits):
            return
        if isinstance(source, Path):
            visit = Visit(source, source.name.removesuffix("-voxmmsd.nii.gz"))
        else:
            visit = Visit(source, source.GetName(), day_of(source))
        self.visits.append(visit)
        self._changed(visit)

    def clear(self) -> None:
        if self.visits:
            self.visits = []
            self._changed(None)

    def sweep(self) -> None:
        """Results that are no longer in the scene are no visits."""
        if not self.are_there:
            self.visits = [visit for visit in self.visits if visit.is_there]
            self._changed(None)

    def lock(self, locked: bool) -> None:
        """While the visits are compared they stay as they are."""
        self._is_locked = locked
        self._ui.visitsTable.setEnabled(not locked)
        self._ui.visitSelector.setEnabled(not locked)
        self._update_buttons()

    # What the user does

    def _add_chosen(self) -> None:
        node = self._ui.visitSelector.currentNode()
        if is_result(node):
            self.add(node)

    def _add_files(self) -> None:
        last = settings.read("visits", str(Path.home()))
        kinds = _("Results and cases of a library ({names})").format(names=f"{_RESULT} {_LIBRARY_CASE}")
        chosen = qt.QFileDialog.getOpenFileNames(slicer.util.mainWindow(), _("Visits"), last, kinds)
        for text in chosen:
            file = Path(text)
            settings.write("visits", str(file.parent))
            self.add(file.parent if file.name == _LIBRARY_CASE else file)

    def _move_up(self) -> None:
        row = tables.chosen_row(self._ui.visitsTable)
        if row:
            visit = self.visits.pop(row)
            self.visits.insert(row - 1, visit)
            self._changed(visit)

    def _remove(self) -> None:
        row = tables.chosen_row(self._ui.visitsTable)
        if row is not None:
            del self.visits[row]
            self._changed(self.visits[min(row, len(self.visits) - 1)] if self.visits else None)

    def _typed(self, row: int, column: int) -> None:
        if self._is_filling or column != 1 or row >= len(self.visits):
            return
        text = self._ui.visitsTable.item(row, column).text().strip()
        if text != self._days()[row]:
            visit = self.visits[row]
            visit.typed = text
            self._changed(visit)

    # What is shown

    def _days(self) -> list[str]:
        """As they were typed, else since the earliest date in DICOM, where no visit is without both."""
        dates = [visit.day for visit in self.visits if visit.day is not None]
        all_known = all(visit.typed or visit.day for visit in self.visits)
        earliest = min(dates, default=None) if all_known else None
        return [visit.typed or _days_since(earliest, visit.day) for visit in self.visits]

    @property
    def _is_by_time(self) -> bool:
        """Whether days tell the order."""
        return bool(self.visits) and all(_is_number(text) for text in self._days())

    def _changed(self, chosen: Visit | None) -> None:
        if self._is_by_time:
            by_day = sorted(zip(self._days(), self.visits, strict=True), key=lambda one: int(one[0]))
            self.visits = [visit for _day, visit in by_day]
        self._fill(chosen)
        self._on_changed()

    def _fill(self, chosen: Visit | None) -> None:
        table = self._ui.visitsTable
        tips = [str(visit.source) if isinstance(visit.source, Path) else visit.name for visit in self.visits]
        rows = [(visit.name, days) for visit, days in zip(self.visits, self._days(), strict=True)]
        self._is_filling = True
        tables.fill(table, rows, tips, next((n for n, visit in enumerate(self.visits) if visit is chosen), None))
        for row in range(len(rows)):
            name = table.item(row, 0)
            name.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
        self._is_filling = False
        self._update_buttons()

    def _update_buttons(self, *_arguments: Any) -> None:
        ui, row = self._ui, tables.chosen_row(self._ui.visitsTable)
        free, is_by_time = not self._is_locked, self._is_by_time
        ui.addVisitButton.setEnabled(free and is_result(ui.visitSelector.currentNode()))
        ui.addFilesButton.setEnabled(free)
        ui.visitUpButton.setEnabled(free and bool(row) and not is_by_time)
        ui.visitUpButton.setToolTip(
            _("The visits are in the order of their days.")
            if is_by_time
            else _("Moves the selected visit before the one above it.")
        )
        ui.removeVisitButton.setEnabled(free and row is not None)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _days_since(earliest: date | None, day: date | None) -> str:
    return str((day - earliest).days) if earliest is not None and day is not None else ""
