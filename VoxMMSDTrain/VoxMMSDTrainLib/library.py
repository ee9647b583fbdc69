"""The tab Library: which cases there are, what is known of them, which one to label next; to and from the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import ERROR, REMEDY, InputError, VoxMMSDError
from voxmmsd.labels import MODALITIES
from voxmmsd.runs import list_runs
from VoxMMSDLib import dependencies, library_folder, tables
from VoxMMSDLib.background import Steps, Work
from VoxMMSDLib.child import Child
from VoxMMSDLib.pages import Page
from VoxMMSDTrainLib import library_case, words
from VoxMMSDTrainLib.correcting import open_editor
from VoxMMSDTrainLib.presence import Presence
from VoxMMSDTrainLib.run import RunTab

if TYPE_CHECKING:
    from voxmmsd.library import LibraryCase, LibraryRecords

ALL = ""


class LibraryTab:
    """``on_changed`` hears when cases or labels came in."""

    def __init__(
        self, ui: Page, run: RunTab, work: Work, presence: Presence, on_changed: Callable[[], None] = lambda: None
    ) -> None:
        self.ui, self._run, self._work, self._presence, self._on_changed = ui, run, work, presence, on_changed
        self.shown: list[LibraryCase] = []
        self._cases: tuple[LibraryCase, ...] = ()
        self._library_id = ""
        self._is_library: bool | None = False  # whether the folder is one; None where that cannot be told
        self._adding: Child | None = None
        tables.prepare(ui.casesTable, stretched=3, most_rows=9)
        ui.libraryPath.currentPath = library_folder.kept()
        for text, value in ((_("all labels"), ALL), *((_(s), s) for s in ("unlabeled", "predicted", "accepted"))):
            ui.stateFilter.addItem(text, value)
        for text, value in ((_("all parts"), ALL), (_("training"), "training"), (_("hold-out"), "hold-out")):
            ui.partFilter.addItem(text, value)
        ui.libraryPath.connect("currentPathChanged(QString)", self._change_library)
        ui.libraryPath.connect("validInputChanged(bool)", self._check_library)
        ui.stateFilter.connect("currentIndexChanged(int)", self._show)
        ui.partFilter.connect("currentIndexChanged(int)", self._show)
        ui.searchBox.connect("textChanged(QString)", self._show)
        ui.casesTable.connect("itemSelectionChanged()", self._enable)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda *_cell: self._open_chosen())
        ui.addButton.connect("clicked()", self._add)
        ui.openButton.connect("clicked()", self._open_chosen)
        ui.correctButton.connect("clicked()", self._correct)
        ui.acceptButton.connect("clicked()", self._accept)
        ui.nextButton.connect("clicked()", self._open_next)
        self._say("")
        self.refresh()
        work.follow(self._enable)

    @property
    def folder(self) -> Path:
        """Raises InputError: none is chosen, or not by its whole path."""
        return library_folder.named(self.ui.libraryPath.currentPath)

    def records(self) -> LibraryRecords | None:
        """What the library says of its cases; None where the folder is none yet.

        Raises:
            InputError: no folder is chosen.
            LibraryError: its record is damaged.
        """
        from voxmmsd.library import LibraryRecords, is_library

        return LibraryRecords(self.folder) if is_library(self.folder) else None

    def refresh(self) -> None:
        """Read the library's records again."""
        self._do(self._read)

    def enter(self) -> None:
        """The module is shown: the other one may have chosen another library."""
        library_folder.show_kept(self.ui.libraryPath)

    def exit(self) -> None:
        library_folder.keep(self.ui.libraryPath.currentPath)

    def cleanup(self) -> None:
        if self._adding is not None:
            self._adding.close()

    def _read(self) -> None:
        known, self._cases, self._used, self._next = self._cases, (), {}, None
        self._is_library = None
        try:
            from_library = self.records()
        except VoxMMSDError:
            self._show()  # nothing of another library
            raise
        self._is_library = from_library is not None
        if from_library is not None:
            from voxmmsd.corrections.usage import learned_in
            from voxmmsd.library import next_to_label
            from voxmmsd.models.registry import list_models

            is_same = from_library.id == self._library_id
            self._library_id = from_library.id
            self._cases = from_library.cases(known if is_same else ())
            runs = [run.folder for run in list_runs(self._run.folder)]
            self._used = learned_in(from_library, list_models(), runs)
            self._next = next(iter(next_to_label(self._cases)), None)
        self._show()

    def _show(self, *_arguments) -> None:
        ui = self.ui
        state, part, text = ui.stateFilter.currentData, ui.partFilter.currentData, ui.searchBox.text.casefold()
        chosen = self._chosen or library_case.opened_case()
        self.shown = [
            case
            for case in self._cases
            if state in (ALL, case.state) and part in (ALL, case.part) and text in self._text(case).casefold()
        ]
        row = next((row for row, case in enumerate(self.shown) if case.id == chosen), None)
        tables.fill(ui.casesTable, [self._row(case) for case in self.shown], [self._text(c) for c in self.shown], row)
        ui.summaryLabel.setText(self._summary())
        ui.nextBox.setVisible(self._next is not None)
        if self._next is not None:
            ui.nextLabel.setText(
                _("<b>{case}</b>: {reason}.").format(case=self._next.case_id, reason=self._next.reason)
            )
        self._enable()

    def _row(self, case: LibraryCase) -> list[str]:
        newest = case.newest
        return [case.id, newest.kind if newest else "–", case.part, ", ".join(self._used_in(case)) or "–"]

    def _text(self, case: LibraryCase) -> str:
        versions = ", ".join(f"{label.stem} {label.model}".strip() for label in case.labels) or _("no label")
        newest = case.newest
        if newest is not None and newest.changed_voxels is not None:
            versions += _(", {count:,} voxels changed").format(count=newest.changed_voxel_count)
        images = _("all four images") if len(case.modalities) == len(MODALITIES) else ", ".join(case.modalities)
        return _("{case} (patient {patient}, {images}): {labels} {used}").format(
            case=case.id, patient=case.patient, images=images, labels=versions, used=", ".join(self._used_in(case))
        )

    def _used_in(self, case: LibraryCase) -> tuple[str, ...]:
        return self._used.get(case.id, ())

    def _summary(self) -> str:
        if self._is_library is None:
            return ""
        if not self._is_library:
            return _("There is no library here yet: Add creates one, and so does Accept in the segmentation module.")
        accepted = sum(case.accepted is not None for case in self._cases)
        held = sum(case.part == "hold-out" for case in self._cases)
        return _("Cases: {count}, {accepted} with an accepted label, {held} held out; {shown} shown").format(
            count=len(self._cases), accepted=accepted, held=held, shown=len(self.shown)
        )

    @property
    def _chosen(self) -> str:
        """The id of the chosen case; empty where none is."""
        return tables.chosen_text(self.ui.casesTable)

    def _enable(self) -> None:
        ui, chosen, is_free = self.ui, self._chosen, not self._work.is_running
        ui.openButton.setEnabled(is_free and bool(chosen))
        ui.correctButton.setEnabled(is_free and bool(chosen))
        ui.acceptButton.setEnabled(is_free and bool(chosen) and library_case.opened_labels(chosen) is not None)
        ui.nextButton.setEnabled(is_free)
        ui.addButton.setEnabled(self._adding is None)

    def _change_library(self, path: str) -> None:
        self._say("")
        self.refresh()
        if library_folder.keep_if_there(path):
            self._on_changed()

    def _check_library(self, is_path: bool) -> None:
        """The field says nothing of another path where it is emptied."""
        if not is_path:
            self._change_library("")

    def _open_chosen(self) -> None:
        if self._chosen:
            self._begin(self._opening(self._chosen))

    def _open_next(self) -> None:
        if self._next is not None:
            self._begin(self._opening(self._next.case_id))

    def _correct(self) -> None:
        self._begin(self._correcting(self._chosen))

    def _accept(self) -> None:
        self._begin(self._accepting(self._chosen))

    def _begin(self, steps: Steps) -> None:
        """What needs the core's packages asks for them first, wherever the need arises."""
        self._do(dependencies.ensure)
        if dependencies.missing():
            steps.close()
        else:
            self._work.start(steps, self._say_error)

    def _opening(self, case_id: str) -> Steps:
        was_open = library_case.opened_labels(case_id, self.records()) is not None
        self._say(_("Opening {case} ...").format(case=case_id))
        node = yield from library_case.open_case(self.folder, case_id, self._presence.is_here)
        if node is None:
            self._say(_("The previous case stays open."))
            self.choose(library_case.opened_case())
            return None
        self._presence.opened()
        self.choose(case_id)
        text = _("{case} is open: press Correct to change its labels, then Accept correction.")
        if was_open:
            text = _(
                "{case} is open already, as you left it: press Correct to change its labels, then Accept correction."
            )
        self._say(text.format(case=case_id))
        return node

    def _correcting(self, case_id: str) -> Steps:
        node = yield from self._opening(case_id)
        if node is not None and self._presence.is_here():  # else the user works elsewhere
            self._say(_("Come back here when {case} is corrected, and press Accept correction.").format(case=case_id))
            open_editor(node)

    def _accepting(self, case_id: str) -> Steps:
        self._say(_("Comparing the labels of {case} with those in the library ...").format(case=case_id))
        node = library_case.opened_labels(case_id)
        if node is None:
            problem = _("{case}: its labels are no longer in the scene").format(case=case_id)
            raise InputError(problem, _("open it again"))
        correction = yield from library_case.read_correction(self.folder, node)
        if not _is_meant(correction):
            self._say(_("{case}: nothing was accepted.").format(case=case_id))
            return
        folder = self.folder
        version = yield lambda: library_case.accept(folder, correction)
        node.SetAttribute(library_case.KEPT, correction.fingerprint)
        self._read()
        self.choose(case_id)
        said = _("{case}: label {number} is accepted, {count} voxels changed.")
        said = said.format(case=case_id, number=version.number, count=version.changed_voxel_count)
        self._say(f"{said} {_left_out_in_words(correction)}".strip())
        self._on_changed()

    def choose(self, case_id: str) -> None:
        """Select a case in the table, where it is shown."""
        for row, case in enumerate(self.shown):
            if case.id == case_id:
                self.ui.casesTable.selectRow(row)
        self._enable()

    def _add(self) -> None:
        self._do(self._start_adding)

    def _start_adding(self) -> None:
        source = self.ui.addPath.currentPath
        if not source:
            raise InputError(_("No folder is chosen"), _("choose the one that the cases are added from"))
        dependencies.ensure()
        library_folder.keep(self.ui.libraryPath.currentPath)
        arguments = ["library", "add", str(self.folder), source]
        child = Child(arguments, self.folder / ".run", lambda _events: None, self._added)
        child.start()
        self._adding = child
        self._say(_("Adding the cases of {folder} ...").format(folder=source))
        self._enable()

    def _added(self, _code: int) -> None:
        child, self._adding = self._adding, None
        assert child is not None  # it has ended
        shown = [line for line in child.log.splitlines() if not words.is_for_a_command_line(line)]
        lines = [line.removeprefix(ERROR).removeprefix(REMEDY) for line in shown]
        self.refresh()
        self._say("\n".join(lines[-6:]))
        self._do(self._on_changed)

    def _do(self, action: Callable[[], None]) -> None:
        """An action of the user's; what goes wrong is said in the panel."""
        try:
            action()
        except VoxMMSDError as error:
            self._say_error(error)

    def _say_error(self, error: Exception) -> None:
        self._say(words.plain(error))

    def _say(self, text: str) -> None:
        self.ui.noticeLabel.setText(text)
        self.ui.noticeLabel.setVisible(bool(text))


def _left_out_in_words(correction: library_case.Correction) -> str:
    text = _("Left out, because the labels have no such tissue: {names}.")
    return text.format(names=", ".join(correction.left_out)) if correction.left_out else ""


def _is_meant(correction: library_case.Correction) -> bool:
    """Labels that nobody drew are accepted on purpose only: training takes them for an expert's."""
    if correction.is_empty:
        question = _("{case}: no voxel is labeled. Accept this as an expert's label, meaning that there is no tumor?")
    elif correction.is_untouched:
        question = _("{case}: the labels are as they were opened. Accept them unchanged, as an expert's label?")
    else:
        return True
    question = f"{question.format(case=correction.case_id)} {_left_out_in_words(correction)}".strip()
    return bool(slicer.util.confirmYesNoDisplay(question))
