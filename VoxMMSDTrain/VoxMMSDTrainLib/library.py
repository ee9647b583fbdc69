"""The tab Library: which cases there are, what is known of them, which one to label next; to and from the scene."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.home import home
from voxmmsd.labels import MODALITIES
from voxmmsd.runs import list_runs
from VoxMMSDLib import dependencies, settings
from VoxMMSDLib.child import Child
from VoxMMSDTrainLib import tables
from VoxMMSDTrainLib.run import RunSection

if TYPE_CHECKING:
    from voxmmsd.library import Library, LibraryCase

SETTING = "library"  # the folder that VoxMMSDSegment puts corrections into
ALL = ""


class LibrarySection:
    """``on_changed`` hears when cases or labels came in."""

    def __init__(self, ui, run: RunSection, on_changed: Callable[[], None] = lambda: None) -> None:
        self.ui, self._run, self._on_changed = ui, run, on_changed
        self.shown: list[LibraryCase] = []
        self._adding: Child | None = None
        tables.prepare(ui.casesTable, (122, 66, 62, 60, 60))
        ui.libraryPath.currentPath = settings.read(SETTING, str(home() / "library"))
        for text, value in ((_("all labels"), ALL), *((_(s), s) for s in ("unlabelled", "predicted", "accepted"))):
            ui.stateFilter.addItem(text, value)
        for text, value in ((_("all parts"), ALL), (_("training"), "training"), (_("hold-out"), "hold-out")):
            ui.partFilter.addItem(text, value)
        ui.libraryPath.connect("currentPathChanged(QString)", self._change_library)
        ui.stateFilter.connect("currentIndexChanged(int)", self._show)
        ui.partFilter.connect("currentIndexChanged(int)", self._show)
        ui.searchBox.connect("textChanged(QString)", self._show)
        ui.casesTable.connect("itemSelectionChanged()", self._enable)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda *_cell: self._open_chosen())
        ui.addButton.connect("clicked()", self._add)
        ui.openButton.connect("clicked()", self._open_chosen)
        ui.acceptButton.connect("clicked()", self._accept)
        ui.nextButton.connect("clicked()", self._open_next)
        self.refresh()

    @property
    def folder(self) -> Path:
        return Path(self.ui.libraryPath.currentPath)

    def library(self) -> Library | None:
        """The opened library; None where the folder is none yet, or the packages to read it are not installed.

        Raises:
            LibraryError: its record is damaged.
        """
        if dependencies.missing() or not (self.folder / "library.json").is_file():
            return None
        from voxmmsd.library import open_library

        return open_library(self.folder)

    def refresh(self) -> None:
        """Read the library's records anew."""
        self._do(self._read)

    def cleanup(self) -> None:
        if self._adding is not None:
            self._adding.close()

    def _read(self) -> None:
        self._cases, self._used, self._next = (), {}, None
        from_library = self.library()
        if from_library is not None:
            from voxmmsd.library import next_to_label
            from voxmmsd.models.registry import list_models
            from voxmmsd.training.learned import learned_in

            self._cases = from_library.cases()
            runs = [run.folder for run in list_runs(self._run.folder)]
            self._used = learned_in(from_library, list_models(), runs)
            self._next = next(iter(next_to_label(self._cases)), None)
        self._show()

    def _show(self, *_arguments) -> None:
        ui = self.ui
        state, part, text = ui.stateFilter.currentData, ui.partFilter.currentData, ui.searchBox.text.casefold()
        self.shown = [
            case
            for case in self._cases
            if state in (ALL, case.state) and part in (ALL, case.part) and text in self._text(case).casefold()
        ]
        tables.fill(ui.casesTable, [self._row(case) for case in self.shown], [self._text(c) for c in self.shown])
        ui.summaryLabel.text = self._summary()
        ui.nextBox.visible = self._next is not None
        if self._next is not None:
            ui.nextLabel.text = _("<b>{case}</b>: {reason}.").format(case=self._next.case_id, reason=self._next.reason)
        self._enable()

    def _row(self, case: LibraryCase) -> list[str]:
        newest = case.newest
        label = newest.kind if newest else "–"
        changed = f"{newest.changed_voxel_count:,}" if newest and newest.changed_voxels is not None else "–"
        used = ", ".join(self._used.get(case.id, ())) or "–"
        images = _("all four") if len(case.modalities) == len(MODALITIES) else ", ".join(case.modalities)
        return [case.id, label, changed, case.part, images, used]

    def _text(self, case: LibraryCase) -> str:
        versions = ", ".join(f"{label.stem} {label.model}".strip() for label in case.labels) or _("no label")
        used = ", ".join(self._used.get(case.id, ()))
        return _("{case} (patient {patient}): {labels} {used}").format(
            case=case.id, patient=case.patient, labels=versions, used=used
        )

    def _summary(self) -> str:
        if dependencies.missing():
            return _("Packages to read a library are missing: press Add, and they are installed after one question.")
        if not (self.folder / "library.json").is_file():
            return _("There is no library here yet: Add makes one, and so does Accept in the segmentation module.")
        accepted = sum(case.accepted is not None for case in self._cases)
        held = sum(case.part == "hold-out" for case in self._cases)
        return _("{count} cases, {accepted} with an accepted label, {held} held out; {shown} shown").format(
            count=len(self._cases), accepted=accepted, held=held, shown=len(self.shown)
        )

    def _enable(self) -> None:
        row = tables.chosen_row(self.ui.casesTable)
        self.ui.openButton.enabled = row is not None
        self.ui.acceptButton.enabled = row is not None and self._opened_node(self.shown[row].id) is not None
        self.ui.addButton.enabled = self._adding is None

    def _opened_node(self, case_id: str):
        from VoxMMSDTrainLib.library_case import opened_cases

        library = self.library()
        return opened_cases(library).get(case_id) if library else None

    def _change_library(self, path: str) -> None:
        settings.write(SETTING, path)
        self.refresh()
        self._on_changed()

    def _open_chosen(self) -> None:
        row = tables.chosen_row(self.ui.casesTable)
        if row is not None:
            self._do(lambda: self._open(self.shown[row].id))

    def _open_next(self) -> None:
        self._do(lambda: self._open(self._next.case_id))

    def _open(self, case_id: str) -> None:
        from VoxMMSDTrainLib.library_case import open_case

        library = self.library()
        open_case(library, library.case(case_id))
        self.choose(case_id)
        self._say(_("{case} is in the scene: correct its labels, then press Accept correction.").format(case=case_id))

    def choose(self, case_id: str) -> None:
        """Select a case in the table, where it is shown."""
        for row, case in enumerate(self.shown):
            if case.id == case_id:
                self.ui.casesTable.selectRow(row)
        self._enable()

    def _accept(self) -> None:
        row = tables.chosen_row(self.ui.casesTable)
        self._do(lambda: self._accept_case(self.shown[row].id))

    def _accept_case(self, case_id: str) -> None:
        from VoxMMSDTrainLib.library_case import accept_case

        version = accept_case(self.library(), self._opened_node(case_id))
        self._read()
        self.choose(case_id)
        said = _("{case}: label {number} is accepted, {count} voxels changed.")
        self._say(said.format(case=case_id, number=version.number, count=version.changed_voxel_count))
        self._on_changed()

    def _add(self) -> None:
        self._do(self._start_adding)

    def _start_adding(self) -> None:
        dependencies.ensure()
        source = self.ui.addPath.currentPath
        arguments = ["library", "add", str(self.folder), source]
        child = Child(arguments, self.folder / ".run", lambda _events: None, self._added)
        child.start()
        self._adding = child
        self._say(_("Adding the cases of {folder} ...").format(folder=source))
        self._enable()

    def _added(self, _code: int) -> None:
        child, self._adding = self._adding, None
        lines = [escape(line.removeprefix("voxmmsd: error: ")) for line in child.log.splitlines()]
        self.refresh()
        self._say("<br>".join(lines[-6:]))
        self._on_changed()

    def _do(self, action: Callable[[], None]) -> None:
        """An action of the user's; what goes wrong is said in the panel."""
        try:
            action()
        except VoxMMSDError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self.ui.noticeLabel.text = text
        self.ui.noticeLabel.visible = bool(text)
