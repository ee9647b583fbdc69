"""The list of a follow-up's visits: results in the scene and files, the earliest first, and the days between them."""

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
from VoxMMSDLib.segments import SCHEMA, is_result
from VoxMMSDSegmentLib.dicom_visits import day_of

MOST_ROWS = 5
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
        ui.visitSelector.addAttribute("vtkMRMLSegmentationNode", SCHEMA)
        ui.visitSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._update_buttons)
        ui.addVisitButton.connect("clicked()", self._add_chosen)
        ui.addFilesButton.connect("clicked()", self._add_files)
        ui.visitUpButton.connect("clicked()", self._move_up)
        ui.removeVisitButton.connect("clicked()", self._remove)
        ui.visitsTable.connect("cellChanged(int,int)", self._typed)
        ui.visitsTable.connect("itemSelectionChanged()", self._update_buttons)
        tables.prepare(ui.visitsTable, stretched=0, most_rows=MOST_ROWS)
        self._fill(None)

    @property
    def sources(self) -> list[Any]:
        return [visit.source for visit in self.visits]

    def days(self) -> list[int]:
        """Days since the first visit; empty where none are given.

        Raises:
            InputError: they are given for some visits only, or are no numbers.
        """
        texts = self._days()
        if not any(texts):
            return []
        if not all(texts):
            raise InputError(_("days are given for some visits only"), _("give them for each visit, or for none"))
        wrong = next((text for text in texts if not text.removeprefix("-").isdecimal()), "")
        if wrong:
            raise InputError(_("{text}: is not a number of days").format(text=wrong), _("give whole days, such as 93"))
        return [int(text) for text in texts]

    def add(self, source: Any) -> None:
        """A result in the scene, or a path; one that is listed already stays where it is."""
        if any(visit.source is source or visit.source == source for visit in self.visits):
            return
        if isinstance(source, Path):
            self.visits.append(Visit(source, source.name.removesuffix("-voxmmsd.nii.gz")))
        else:
            self.visits.append(Visit(source, source.GetName(), day_of(source)))
        self._changed(len(self.visits) - 1)

    def clear(self) -> None:
        if self.visits:
            self.visits = []
            self._changed(None)

    def sweep(self) -> None:
        """Results that are no longer in the scene are no visits."""
        left = [visit for visit in self.visits if visit.is_there]
        if len(left) < len(self.visits):
            self.visits = left
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
            self.visits.insert(row - 1, self.visits.pop(row))
            self._changed(row - 1)

    def _remove(self) -> None:
        row = tables.chosen_row(self._ui.visitsTable)
        if row is not None:
            del self.visits[row]
            self._changed(min(row, len(self.visits) - 1) if self.visits else None)

    def _typed(self, row: int, column: int) -> None:
        if self._is_filling or column != 1 or row >= len(self.visits):
            return
        text = self._ui.visitsTable.item(row, column).text().strip()
        if text != self._days()[row]:
            self.visits[row].typed = text
            self._on_changed()

    # What is shown

    def _days(self) -> list[str]:
        """As they were typed, else by DICOM, where all visits have a date."""
        dates = [visit.day for visit in self.visits if visit.day is not None]
        all_known = len(dates) == len(self.visits)
        known = [str((day - dates[0]).days) for day in dates] if all_known else [""] * len(self.visits)
        return [visit.typed or day for visit, day in zip(self.visits, known, strict=True)]

    def _changed(self, chosen: int | None) -> None:
        self._fill(chosen)
        self._on_changed()

    def _fill(self, chosen: int | None) -> None:
        table = self._ui.visitsTable
        tips = [str(visit.source) if isinstance(visit.source, Path) else visit.name for visit in self.visits]
        rows = [(visit.name, days) for visit, days in zip(self.visits, self._days(), strict=True)]
        self._is_filling = True
        tables.fill(table, rows, tips, chosen)
        for row in range(len(rows)):
            name = table.item(row, 0)
            name.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
        self._is_filling = False
        self._update_buttons()

    def _update_buttons(self, *_arguments: Any) -> None:
        ui, row = self._ui, tables.chosen_row(self._ui.visitsTable)
        free = not self._is_locked
        ui.addVisitButton.setEnabled(free and is_result(ui.visitSelector.currentNode()))
        ui.addFilesButton.setEnabled(free)
        ui.visitUpButton.setEnabled(free and bool(row))
        ui.removeVisitButton.setEnabled(free and row is not None)
