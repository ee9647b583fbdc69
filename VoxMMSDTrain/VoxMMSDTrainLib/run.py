"""The tab Run: runs past and present, the chosen one live; all is read from run folders, so that it can re-attach."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.runs import RunState, RunView, list_runs
from voxmmsd.runs.following import Follower, News
from voxmmsd.runs.status import STATUS
from VoxMMSDLib import settings, tables
from VoxMMSDLib.pages import Page
from VoxMMSDTrainLib import words
from VoxMMSDTrainLib.curves import CurvePlot, groups, short_name, square
from VoxMMSDTrainLib.logic import VoxMMSDTrainLogic
from VoxMMSDTrainLib.preview import Previews

LOOK_MS = 1000
FOLDER, RUN = "TrainRunsFolder", "TrainRun"  # settings


class RunTab:
    """Shows runs and the chosen one; ``on_finished`` hears of a run that ended well while it was looked at."""

    def __init__(
        self, ui: Page, logic: VoxMMSDTrainLogic, on_finished: Callable[[Path], None] = lambda folder: None
    ) -> None:
        self.ui, self._logic, self._on_finished = ui, logic, on_finished
        self.follower: Follower | None = None
        self._plot, self._previews = CurvePlot(ui.plotView), Previews(ui)
        self._listed: list[RunView] = []
        self._state = ""
        ui.logBox.collapsed = True
        tables.prepare(ui.runsTable, stretched=0, most_rows=6)
        ui.runsFolder.currentPath = settings.read(FOLDER, str(logic.default_runs_folder))
        ui.runsFolder.connect("currentPathChanged(QString)", self._change_folder)
        ui.runsTable.connect("itemSelectionChanged()", self._choose_row)
        ui.pauseButton.connect("clicked(bool)", self._pause)
        ui.resumeButton.connect("clicked(bool)", self._resume)
        ui.cancelButton.connect("clicked(bool)", self._cancel)
        ui.curveChoice.connect("currentIndexChanged(int)", self._draw)
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.connect("timeout()", self.look)
        self._show_state(None)
        self._say("")
        self._draw()

    @property
    def folder(self) -> Path:
        """Where new runs go and known ones are listed from."""
        return Path(self.ui.runsFolder.currentPath or str(self._logic.default_runs_folder))

    def open(self) -> None:
        """Begin to look; the run that was looked at last is chosen again."""
        self._list()
        known = settings.read(RUN, "")
        if self.follower is None:
            alive = [run.folder for run in self._listed if not run.is_over]
            wanted = [folder for folder in (Path(known),) if known and (folder / STATUS).is_file()]
            for folder in (*wanted, *alive)[:1]:
                self.follow(folder)
        self._timer.start()

    def close(self) -> None:
        """Look no more; the runs go on."""
        self._timer.stop()

    def cleanup(self) -> None:
        self.close()
        self._plot.remove()

    def follow(self, folder: Path) -> None:
        """Look at a run from now on."""
        try:
            self.follower = Follower(folder)
        except VoxMMSDError as error:
            self._say(words.plain(error))
            return
        settings.write(RUN, str(folder))
        self._state = ""
        self._say("")
        self.ui.logText.setPlainText("")
        self.ui.curveChoice.clear()
        self._previews.clear()
        self._draw()
        self.look()

    def redraw(self) -> None:
        """After the scene was closed: its nodes are gone."""
        self._draw()

    def started(self, folder: Path, error: str) -> None:
        """A run was started or resumed, or could not be."""
        self._list()
        self.follow(folder)
        self._say(error)

    def look(self) -> None:
        """Show what is new; called every second."""
        self._list()
        if self.follower is None:
            return
        try:
            news = self.follower.look()
        except (VoxMMSDError, OSError) as error:  # a share may be away for a while
            self._say(words.plain(error))
            return
        self._show(news)

    @property
    def _followed(self) -> Follower:
        """For what is done with a run: its buttons are enabled where one is followed."""
        assert self.follower is not None
        return self.follower

    def _show(self, news: News) -> None:
        self._show_state(news.run)
        if news.log:
            self.ui.logText.appendPlainText(news.log.rstrip("\n"))
        if news.has_metrics:
            self._offer_curves()
            self._draw()
        if news.has_previews:
            self._previews.show(self._followed.previews)
        was, self._state = self._state, news.run.state
        if was != news.run.state:
            self._say(self._notice(news.run))
            if news.run.state is RunState.FINISHED and was:
                self._on_finished(news.run.folder)

    def _notice(self, run: RunView) -> str:
        if run.error:
            return run.error
        if run.state is RunState.INTERRUPTED and run.host != socket.gethostname():
            text = _(
                "Check {host} first: if the run no longer exists there, Resume continues it here, on this computer."
            )
            return text.format(host=run.host)
        if run.state is RunState.INTERRUPTED:
            return _("Its process is gone. Resume continues from the newest checkpoint.")
        if self._followed.warnings:
            return _("Warning: {text}").format(text=self._followed.warnings[-1])
        return ""

    def _show_state(self, run: RunView | None) -> None:
        ui, state = self.ui, run.state if run else None
        ui.progressBar.setVisible(run is not None)  # 0 % of nothing would say that something has begun
        if run is not None:
            ui.stateLabel.setText(words.sentence(run))
            ui.progressBar.setRange(0, run.total if run.total else int(not run.is_over))
            ui.progressBar.setValue(run.step)
        ui.pauseButton.setEnabled(state is not None and state.is_active)
        ui.cancelButton.setEnabled(
            state is not None and (state.is_active or state in (RunState.PAUSED, RunState.INTERRUPTED))
        )
        ui.resumeButton.setEnabled(state is not None and state.can_resume and not self._logic.is_launching)

    def _list(self) -> None:
        """Fill the table again if it has changed; the run that is followed is the chosen one."""
        try:
            listed = list_runs(self.folder)
        except (VoxMMSDError, OSError) as error:
            self._say(words.plain(error))
            return
        rows = [(run.folder.name, words.verb(run.verb), words.progress(run)) for run in listed]
        shown = [(run.folder.name, words.verb(run.verb), words.progress(run)) for run in self._listed]
        self._listed = listed
        chosen = self.follower.folder if self.follower else None
        row = next((row for row, run in enumerate(listed) if run.folder == chosen), None)
        if (rows, row) == (shown, tables.chosen_row(self.ui.runsTable)) and self.ui.runsTable.rowCount == len(rows):
            return
        tables.fill(self.ui.runsTable, rows, [str(run.folder) for run in listed], row)

    def _choose_row(self) -> None:
        row = tables.chosen_row(self.ui.runsTable)
        if row is not None and (self.follower is None or self._listed[row].folder != self.follower.folder):
            self.follow(self._listed[row].folder)

    def _change_folder(self, path: str) -> None:
        settings.write(FOLDER, path)
        self._list()

    def _offer_curves(self) -> None:
        offered = list(groups(list(self._followed.curves)))
        choice = self.ui.curveChoice
        if [choice.itemText(i) for i in range(choice.count)] == offered:
            return
        was, was_blocked = choice.currentText, choice.blockSignals(True)
        choice.clear()
        choice.addItems(offered)
        choice.setCurrentIndex(max(0, offered.index(was) if was in offered else 0))
        choice.blockSignals(was_blocked)

    def _draw(self, *_arguments) -> None:
        title = self.ui.curveChoice.currentText
        ui = self.ui
        ui.curvesLabel.setVisible(bool(title))
        ui.curveChoice.setVisible(bool(title))
        ui.legendLabel.setVisible(bool(title))
        if self.follower is None or not title:
            ui.legendLabel.setText("")
            self._plot.remove()
            return
        curves = self.follower.curves
        names = groups(list(curves)).get(title, [])
        self._plot.show(title, {name: curves[name] for name in names})
        ui.legendLabel.setText(
            " &nbsp; ".join(
                f"{square(number)} {short_name(name)} <b>{curves[name][-1][1]:.3g}</b>"
                for number, name in enumerate(names)
            )
        )

    def _pause(self, _checked: bool) -> None:
        self._ask(self._logic.pause, _("Pausing: the run saves a checkpoint after this step and stops."))

    def _cancel(self, _checked: bool) -> None:
        self._ask(self._logic.cancel, _("Canceling: the run ends after this step."))

    def _ask(self, request: Callable[[Path], None], answer: str) -> None:
        try:
            request(self._followed.folder)
        except VoxMMSDError as error:
            answer = words.plain(error)
        self._say(answer)
        self.look()

    def _resume(self, _checked: bool) -> None:
        try:
            self._logic.resume(self._followed.folder, self.started)
        except VoxMMSDError as error:
            self._say(words.plain(error))
            return
        self.ui.resumeButton.setEnabled(False)
        self._say(_("Continuing ..."))

    def _say(self, text: str) -> None:
        self.ui.noticeLabel.setText(text)
        self.ui.noticeLabel.setVisible(bool(text))
