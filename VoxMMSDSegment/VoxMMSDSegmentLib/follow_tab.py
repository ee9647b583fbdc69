"""The tab in which the visits of a patient are compared, and two of them shown side by side."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import Canceled, InputError, VoxMMSDError
from voxmmsd.files import is_disk_full, written_aside
from voxmmsd.measuring.response import CAVEAT
from VoxMMSDLib import dependencies, tables
from VoxMMSDLib.background import Slices
from VoxMMSDLib.pages import Page
from VoxMMSDLib.sight import Scroller
from VoxMMSDLib.timers import DOUBLE_CLICK_MS, once_after
from VoxMMSDLib.workplace import new_workplace, remove
from VoxMMSDSegmentLib.findings import FitsItsText, fit
from VoxMMSDSegmentLib.folder_choice import choose_folder
from VoxMMSDSegmentLib.follow_words import lesion_rows, summary, volume_rows
from VoxMMSDSegmentLib.progress import Progress
from VoxMMSDSegmentLib.shown_visits import NAMES, remove_visits, visit_name
from VoxMMSDSegmentLib.side_by_side import SideBySide
from VoxMMSDSegmentLib.visits_box import VisitsBox
from VoxMMSDSegmentLib.words import error_in_words

if TYPE_CHECKING:
    from VoxMMSDSegmentLib.follow_job import Followed, FollowJob
    from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic

CHART, CHART_WIDTH = "follow-up.png", 330  # pixels that the frame leaves of a panel of 400
MAX_ROWS = 14
KEPT = ("follow-up.html", "follow-up.csv", "follow-up.png", "follow-up.json")  # the record last


class FollowTab:
    """Owns what it shows: the page's folder and the visits' nodes. ``on_nodes`` hears of nodes that are no inputs."""

    def __init__(self, ui: Page, logic: VoxMMSDSegmentLogic, on_nodes: Callable[[], None]) -> None:
        self._ui, self._logic, self._on_nodes = ui, logic, on_nodes
        self.job: FollowJob | None = None
        self.found: Followed | None = None
        self._folder: Path | None = None
        self._is_entered = False
        self._views = SideBySide()
        self._showing: Slices | None = None
        self._scroller = Scroller(ui.followLabel)
        self._to_changes = Scroller(ui.changesTable)
        self._cancel_timer = once_after(DOUBLE_CLICK_MS, self._update_button)
        self.visits = VisitsBox(ui, self._forget_found)
        self._fit = FitsItsText()
        for label in (ui.followLabel, ui.summaryLabel, ui.caveatLabel, ui.keptLabel):
            label.installEventFilter(self._fit)
        for table in (ui.changesTable, ui.lesionsTable):
            tables.prepare(table, stretched=0, most_rows=MAX_ROWS)
        ui.caveatLabel.setText(CAVEAT)
        ui.followButton.connect("clicked()", self._compare_or_cancel)
        ui.laterCombo.connect("currentIndexChanged(int)", self._choose_later)
        ui.outlineCombo.connect("currentIndexChanged(int)", self._show_views)
        ui.sideBySideCheck.connect("toggled(bool)", self._show_views)
        ui.tabs.connect("currentChanged(int)", self._leave_tab)
        ui.openPageButton.connect("clicked()", self._open_page)
        ui.keepPageButton.connect("clicked()", self._choose_folder)
        slicer.app.connect("aboutToQuit()", self.close)
        self._fill()

    # At work

    def _compare_or_cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()
        else:
            self.compare()

    def compare(self) -> None:
        """Compare the visits that are listed; Slicer stays usable."""
        from VoxMMSDSegmentLib.follow_job import PACKAGES

        self._forget_found()
        try:
            dependencies.ensure({**dependencies.SEGMENTING, **PACKAGES})  # a workplace needs one of them, too
            self._folder = new_workplace()
            self.job = self._logic.follow(
                self.visits.sources,
                self._folder / "follow-up",
                days=self.visits.days(),
                patient=self._ui.patientEdit.text.strip(),
                shown=True,
                wait=False,
                on_progress=self._show_progress,
                on_done=self._done,
                on_failed=self._failed,
            )
        except VoxMMSDError as error:
            self._failed(error)
            return
        self.visits.lock(True)
        self._cancel_timer.start()
        self._update_button()

    def _show_progress(self, progress: Progress) -> None:
        bar = self._ui.followBar
        bar.setVisible(True)
        bar.setMaximum(1000)
        bar.setValue(round(1000 * (progress.share or 0)))
        self._say(escape(progress.line()))

    def _done(self, found: Followed) -> None:
        self.found = found
        self._end("")
        self._on_nodes()
        self._fill()
        self._to_changes.start()
        if self._is_entered and self._is_current:
            self._ui.sideBySideCheck.setChecked(True)

    def _failed(self, error: Exception) -> None:
        self._forget_found()
        if isinstance(error, Canceled):
            self._end(_("Canceled."))
            return
        problem, remedy = error_in_words(error)
        self._end(f"<b>{escape(problem)}</b>" + (f"<br>{escape(remedy)}" if remedy else ""))
        self._scroller.start()

    def _end(self, said: str) -> None:
        self.job = None
        self._cancel_timer.stop()
        self._ui.followBar.setVisible(False)
        self._say(said)
        self.visits.lock(False)
        self._update_button()

    def _say(self, text: str) -> None:
        _put(self._ui.followLabel, text)
        self._ui.followLabel.setVisible(bool(text))

    def _update_button(self) -> None:
        button = self._ui.followButton
        if self.job is not None:
            button.setText(_("Cancel"))
            button.setToolTip(_("Stop; nothing is kept."))
            button.setEnabled(not self._cancel_timer.isActive())
            return
        enough = len(self.visits.visits) > 1
        button.setText(_("&Compare visits"))
        button.setEnabled(enough)
        button.setToolTip(
            _("Registers the visits to the first one and compares them lesion by lesion.")
            if enough
            else _("Add two visits or more first, the earliest first.")
        )

    # What was found

    def _fill(self) -> None:
        ui, found = self._ui, self.found
        ui.changesSection.setVisible(found is not None)
        self._update_button()
        if found is None:
            return
        record = found.record
        was_blocked = [combo.blockSignals(True) for combo in (ui.laterCombo, ui.outlineCombo)]
        ui.laterCombo.clear()
        for number in range(1, len(record["visits"])):
            ui.laterCombo.addItem(visit_name(record, number))
        ui.laterCombo.setCurrentIndex(ui.laterCombo.count - 1)
        ui.outlineCombo.clear()
        for key in record["lesions"]:
            ui.outlineCombo.addItem(NAMES[key])
        for combo, blocked in zip((ui.laterCombo, ui.outlineCombo), was_blocked, strict=True):
            combo.blockSignals(blocked)
        ui.laterCombo.setEnabled(ui.laterCombo.count > 1)
        self._show_chart(found.folder / CHART)
        self._fill_tables()

    def _fill_tables(self) -> None:
        assert self.found is not None
        ui, record, later = self._ui, self.found.record, self._later
        _put(ui.summaryLabel, summary(record, later))
        for table, rows in (
            (ui.changesTable, volume_rows(record, later)),
            (ui.lesionsTable, lesion_rows(record, later)),
        ):
            for column, title in ((1, visit_name(record, 0)), (2, visit_name(record, later))):
                table.horizontalHeaderItem(column).setText(title)
            tables.fill(table, rows)
            table.setVisible(bool(rows))

    def _show_chart(self, file: Path) -> None:
        label, picture = self._ui.chartImage, qt.QPixmap(str(file))
        ratio = label.devicePixelRatioF()
        shown = picture.scaledToWidth(round(CHART_WIDTH * ratio), qt.Qt.SmoothTransformation)
        shown.setDevicePixelRatio(ratio)
        label.setPixmap(shown)
        label.setMinimumHeight(round(shown.height() / ratio))  # else a long page would cut it off

    @property
    def _later(self) -> int:
        """The visit that is compared with the first."""
        return max(0, self._ui.laterCombo.currentIndex) + 1

    def _choose_later(self, *_arguments: Any) -> None:
        if self.found is not None:
            self._fill_tables()
            self._show_views()

    # The views

    @property
    def is_showing(self) -> bool:
        """Whether the views are still being changed."""
        return self._showing is not None and self._showing.is_at_work

    def _show_views(self, *_arguments: Any) -> None:
        """As the switch says; the user's own views come back with it."""
        self._stop_showing()
        if self.found is None or not self._ui.sideBySideCheck.checked:
            self._views.hide()
            return
        visits, keys = self.found.visits, list(self.found.record["lesions"])
        structure = keys[max(0, self._ui.outlineCombo.currentIndex)]
        steps = self._views.show(visits[0], visits[self._later], structure)
        self._showing = Slices(steps, lambda _none: None, self._not_shown).start()

    def give_views_back(self) -> None:
        """Something else is going to be looked at, and painted on: the views are the user's."""
        self._ui.sideBySideCheck.setChecked(False)

    @property
    def _is_current(self) -> bool:
        tabs = self._ui.tabs
        return bool(tabs.indexOf(self._ui.followTab) == tabs.currentIndex)

    def _leave_tab(self, _index: int) -> None:
        if not self._is_current:
            self.give_views_back()

    def _not_shown(self, error: Exception) -> None:
        self.give_views_back()
        raise error

    def _stop_showing(self) -> None:
        if self._showing is not None:
            self._showing.stop()
            self._showing = None

    # The page

    def _open_page(self) -> None:
        assert self.found is not None
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.found.page)))

    def _choose_folder(self) -> None:
        folder = choose_folder(_("Folder for the follow-up"), "reports")
        if folder is not None:
            self.keep(folder)

    def keep(self, folder: Path) -> None:
        """Copy the page and what is beside it into a folder, whole or not at all; files that are there stay."""
        assert self.found is not None
        try:
            there = next((name for name in KEPT if (folder / name).exists()), "")
            if there:
                raise InputError(
                    _("{name}: exists already in that folder").format(name=there), _("choose another folder")
                )
            _copy(self.found.folder, folder)
        except VoxMMSDError as error:
            problem, remedy = error_in_words(error)
            _put(self._ui.keptLabel, f"<b>{escape(problem)}</b><br>{escape(remedy)}")
            return
        _put(self._ui.keptLabel, _("Written as {name}.").format(name=KEPT[0]))

    # The module's manners

    def enter(self) -> None:
        self._is_entered = True

    def exit(self) -> None:
        """Another module is shown."""
        self._is_entered = False
        self.give_views_back()

    def sweep(self) -> None:
        """A result may be no longer in the scene: a comparison with it ends before its folder goes."""
        is_lost = self.job is not None and not self.visits.are_there
        if is_lost:
            self._stop_job()
        self.visits.sweep()
        if is_lost:
            self._say(_("Stopped: one of the visits was deleted."))

    def close(self) -> None:
        """The panel or Slicer goes: nothing of the patient stays."""
        slicer.app.disconnect("aboutToQuit()", self.close)
        self._stop_job()
        self.exit()
        self.visits.clear()
        self._forget_found()
        self._scroller.stop()
        self._to_changes.stop()

    def forget_scene(self) -> None:
        """The scene closes, and takes all nodes with it."""
        self._stop_job()
        self._stop_showing()
        self._views.forget()
        self.visits.clear()
        self._forget_found()
        self._ui.patientEdit.setText("")

    def _stop_job(self) -> None:
        if self.job is not None:
            self.job.close()
            self._end("")

    def _forget_found(self) -> None:
        """The visits are others now, or gone: what is shown of them goes, in the scene and on the disk."""
        self.give_views_back()
        self._stop_showing()
        self._views.hide()
        found, self.found = self.found, None
        if found is not None and not slicer.mrmlScene.IsClosing():
            remove_visits(found.visits)
        if self._folder is not None:
            remove(self._folder)
            self._folder = None
        _put(self._ui.keptLabel, "")
        self._say("")
        self._fill()
        if found is not None and not slicer.mrmlScene.IsClosing():
            self._on_nodes()


def _put(label: Any, text: str) -> None:
    """As high as the text needs: Slicer gives a label no more than its least height."""
    label.setText(text)
    fit(label)


def _copy(source: Path, folder: Path) -> None:
    """Aside first, all of it: a copy that fails leaves nothing."""
    is_new, is_aside, name = not folder.exists(), False, KEPT[0]
    try:
        with ExitStack() as stack:
            for name in reversed(KEPT):  # renamed in the order of KEPT, once all are whole
                shutil.copyfile(source / name, stack.enter_context(written_aside(folder / name)))
            is_aside = True
    except OSError as error:
        with suppress(OSError):  # a folder that never came to be, or in which another program has put something
            for one in KEPT * is_aside:  # some are renamed, others are not
                (folder / one).unlink(missing_ok=True)
            if is_new:
                folder.rmdir()
        if not (source / name).is_file():
            raise InputError(
                _("{name}: is no longer there").format(name=name), _("compare the visits again")
            ) from error
        reason = _("the disk is full") if is_disk_full(error) else error.strerror or str(error)
        raise InputError(
            _("{folder}: {name} cannot be written there ({reason})").format(folder=folder, name=name, reason=reason),
            _("free disk space, or choose another folder")
            if is_disk_full(error)
            else _("choose a folder that you may write to"),
        ) from error
