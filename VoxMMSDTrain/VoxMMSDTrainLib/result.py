"""The tab Result: old model against new on hold-out patients, the verdict, and the user's decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from voxmmsd.corrections.verdict import HoldOutCase, Outcome
from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.evaluation.means import nan_mean
from VoxMMSDLib import dependencies, tables
from VoxMMSDLib.background import Steps, Work, at_once
from VoxMMSDLib.pages import Page
from VoxMMSDLib.sight import Scroller
from VoxMMSDTrainLib import words
from VoxMMSDTrainLib.both_models import open_both
from VoxMMSDTrainLib.compared import Compared, Shown
from VoxMMSDTrainLib.comparison import RunResult, library_of, read_run_result
from VoxMMSDTrainLib.curves import CurvePlot, square
from VoxMMSDTrainLib.models import finished
from VoxMMSDTrainLib.presence import Presence
from VoxMMSDTrainLib.run import RunTab
from VoxMMSDTrainLib.unnamed import UnnamedPairs

NOTHING = "–"


class ResultTab:
    """Only proposes: a model comes into use by the button, and one that is worse by a tick more.

    ``on_decided``: what other tabs do once the models in use have changed.
    """

    def __init__(
        self, ui: Page, run: RunTab, work: Work, presence: Presence, on_decided: Sequence[Callable[[], None]] = ()
    ) -> None:
        self.ui, self._run, self._work, self._presence, self._on_decided = ui, run, work, presence, on_decided
        self.comparison: RunResult | None = None
        self._folders: list[Path] = []
        self._plot = CurvePlot(ui.plotView, "VoxMMSDTrainResult")
        tables.prepare(ui.regionsTable, stretched=0, most_rows=6)
        tables.prepare(ui.casesTable, stretched=0, most_rows=7)
        self.compared = Compared(ui)
        self._both: tuple[Shown, ...] = ()  # what the notice below the cases speaks of
        self.unnamed = UnnamedPairs(ui, self.compared, work, presence)
        notices = (ui.noticeLabel, ui.casesNotice, ui.importNotice)
        self._scrollers = {id(notice): Scroller(notice) for notice in notices}
        for notice in notices:
            self._put(notice, "")
        ui.runChoice.connect("currentIndexChanged(int)", self._choose_other)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda *_cell: self._open())
        ui.casesTable.connect("itemSelectionChanged()", self._enable)
        ui.forceBox.connect("toggled(bool)", self._enable)
        ui.openButton.connect("clicked()", self._open)
        ui.acceptButton.connect("clicked()", lambda: self._begin(self._accepting(), ui.noticeLabel))
        ui.rejectButton.connect("clicked()", lambda: self._do(self._reject))
        ui.rollBackButton.connect("clicked()", lambda: self._do(self._roll_back))
        ui.importButton.connect("clicked()", lambda: self._begin(self._importing(), ui.importNotice))
        self.refresh()
        work.follow(self._enable)

    def refresh(self) -> None:
        """Runs may have finished, models may have come."""
        self._offer_runs()
        self._choose()

    def show(self, folder: Path) -> None:
        """Choose a run that has just finished."""
        self._offer_runs(folder.name)
        if folder in self._folders:
            self._choose_other()
        else:
            self._choose()

    @property
    def _shown_run(self) -> RunResult:
        """For what is done with a run: its buttons are enabled where one is shown."""
        assert self.comparison is not None
        return self.comparison

    def _offer_runs(self, chosen: str = "") -> None:
        """``chosen``: the run to choose; without it, or where it is not there, the one of before, or the latest."""
        self._folders, choice = finished(self._run.folder), self.ui.runChoice
        names = [folder.name for folder in self._folders]
        wanted = next((name for name in (chosen, choice.currentText) if name in names), None)
        was_blocked = choice.blockSignals(True)
        choice.clear()
        choice.addItems(names)
        choice.setCurrentIndex(names.index(wanted) if wanted is not None else 0)
        choice.blockSignals(was_blocked)

    def redraw(self) -> None:
        """After the scene was closed: its nodes are gone."""
        self._draw()
        self._enable()

    def cleanup(self) -> None:
        for scroller in self._scrollers.values():
            scroller.stop()
        self._plot.remove()
        self.unnamed.cleanup()

    def _choose(self, *_arguments) -> None:
        number = self.ui.runChoice.currentIndex
        self.comparison = None
        if 0 <= number < len(self._folders):
            try:
                self.comparison = read_run_result(self._folders[number])
            except VoxMMSDError as error:
                self._put(
                    self.ui.noticeLabel,
                    _("{run}: cannot be read ({error})").format(run=self._folders[number], error=error.problem),
                )
        self.ui.forceBox.setChecked(False)
        self._show()

    def _choose_other(self, *_arguments) -> None:
        for notice in (self.ui.noticeLabel, self.ui.casesNotice, self.ui.importNotice):
            self._put(notice, "")  # what was said is of the run before
        self._choose()

    def _show(self) -> None:
        ui, found = self.ui, self.comparison
        ui.verdictLabel.setText(_headline(found))
        ui.detailLabel.setText(_details(found))
        ui.detailLabel.setVisible(bool(ui.detailLabel.text))
        regions = found.regions if found else {}
        tables.fill(ui.regionsTable, [(key, *_three(old, new)) for key, (old, new) in regions.items()])
        ui.regionsTable.setVisible(bool(regions))
        cases = found.cases if found else ()
        counts = [_("yes") if case.counts else _("no") for case in cases]
        rows = [
            (case.case_id, *_three(nan_mean(case.old.values()), nan_mean(case.new.values())), text)
            for case, text in zip(cases, counts, strict=True)
        ]
        chosen = tables.chosen_text(ui.casesTable)  # coming back to the tab does not choose another case
        row = next((row for row, case in enumerate(cases) if case.case_id == chosen), None)
        tables.fill(ui.casesTable, rows, [_about(case) for case in cases], row)
        ui.casesTable.setVisible(bool(cases))
        ui.openButton.setVisible(bool(cases))
        ui.forceBox.setVisible(found is not None and found.is_worse)
        self.unnamed.show(found)
        self._draw()
        self._enable()

    def _draw(self) -> None:
        regions = self.comparison.regions if self.comparison else {}
        bars = {_("old"): [old for old, _new in regions.values()], _("new"): [new for _old, new in regions.values()]}
        known = {name: any(value is not None for value in values) for name, values in bars.items()}
        colors = {name: number for number, name in enumerate(bars) if known[name]}  # new is new's, also alone
        heights = {name: [value or 0.0 for value in bars[name]] for name in colors}  # a bar of 0 is said by the legend
        self.ui.plotLabel.setVisible(bool(heights))
        if heights:
            self._plot.show_bars(list(regions), heights, colors)
        else:
            self._plot.remove()
        # A plot view writes no names at the axis of bars (qMRMLPlotView.cxx), so the panel does.
        legend = " &nbsp; ".join(f"{square(number)} {name}" for name, number in colors.items())
        groups = _("Mean Dice, from left to right: {regions}").format(regions=", ".join(regions))
        self.ui.plotLabel.setText(f"{legend}<br>{groups}")

    def _enable(self, *_arguments) -> None:
        from voxmmsd.models.registry import accepted_times, resolve_model, state_of

        ui, found, is_free = self.ui, self.comparison, not self._work.is_running
        if is_free:
            self.compared.forget_removed()
            if self._both and not self.compared.shows(self._both):
                self._both = ()
                self._say_of_cases("")
        segments = found is not None and bool(found.schema)
        state = state_of(found.model) if found is not None and segments else ""
        is_worse = found is not None and found.is_worse
        may_accept = segments and state != "accepted" and (not is_worse or ui.forceBox.checked)
        ui.acceptButton.setEnabled(is_free and may_accept)
        ui.rejectButton.setEnabled(is_free and segments and state != "rejected")
        ui.rollBackButton.setEnabled(is_free and bool(accepted_times()))
        ui.importButton.setEnabled(is_free)
        ui.openButton.setEnabled(is_free and tables.chosen_row(ui.casesTable) is not None)
        try:
            used = resolve_model().info.id
        except VoxMMSDError:
            used = _("none")
        states = {"accepted": _("accepted"), "rejected": _("rejected"), "rolled back": _("rolled back")}
        about = _("This one is {state}. ").format(state=states[state]) if state in states else ""
        text = about + _("Model in use: <b>{model}</b>").format(model=used)
        if found is not None and found.old and used not in (found.old, found.model, _("none")):
            text += "<br>" + _("It is not the one that was compared here, {old}.").format(old=found.old)
        ui.usedLabel.setText(text)

    def _accepting(self) -> Steps:
        from voxmmsd.models.registry import accept, resolve_model

        folder, is_forced = str(self._shown_run.folder), self.ui.forceBox.checked
        package = yield lambda: accept(resolve_model(folder), force=is_forced)
        said = _("{model} is in use from now on, in the segmentation module too.")
        yield from self._decided(said.format(model=package.info.id))

    def _reject(self) -> None:
        from voxmmsd.models.registry import reject, resolve_model

        package = reject(resolve_model(str(self._shown_run.folder)))
        at_once(self._decided(_("{model} is rejected; its run stays.").format(model=package.info.id)))

    def _roll_back(self) -> None:
        from voxmmsd.models.registry import rollback

        before, after = rollback()
        said = _("{before} was rolled back; now in use: {after}.")
        at_once(self._decided(said.format(before=before, after=after or _("none"))))

    def _importing(self) -> Steps:
        from voxmmsd.models.registry import accept, import_model, resolve_model

        place = self.ui.importPath.currentPath
        if not place:
            raise InputError(_("No model is chosen"), _("choose its folder, its zip, or its run first"))
        self._put(self.ui.importNotice, _("Importing {place} ...").format(place=place))
        package = yield lambda: import_model(resolve_model(place).folder)
        question = _("{model} is in the registry. Use it for segmentation from now on?").format(model=package.info.id)
        said = _("{model} is in the registry.")
        if package.info.segments and slicer.util.confirmYesNoDisplay(question):
            package = yield lambda: accept(package)
            said = _("{model} is in the registry, and in use from now on.")
        yield from self._decided(said.format(model=package.info.id), self.ui.importNotice)

    def _decided(self, text: str, notice=None) -> Steps:
        """The other tabs follow one by one: each lists the models, and a new model's files are hashed for it."""
        self._put(notice or self.ui.noticeLabel, text)
        self._enable()
        for refresh in self._on_decided:
            yield
            refresh()

    def _open(self) -> None:
        row = tables.chosen_row(self.ui.casesTable)
        if row is not None and self._do(dependencies.ensure, self.ui.casesNotice):
            self._begin(self._opening(self._shown_run.cases[row].case_id), self.ui.casesNotice)

    def _begin(self, steps: Steps, notice) -> None:
        self._work.start(steps, lambda error: self._put(notice, words.plain(error)))

    def _opening(self, case_id: str) -> Steps:
        self._say_of_cases(_("Opening {case} ...").format(case=case_id))
        self.compared.clear()
        library = library_of(self._shown_run)
        shown = yield from open_both(self._shown_run, library, case_id, self._presence.is_here)
        if not shown:
            self._say_of_cases(_("The previous case stays open."))
            return
        self._presence.opened()
        self.compared.show(shown)
        self._both = shown
        self._say_of_cases(_("{case} is open with the segmentations of both models.").format(case=case_id))

    def _do(self, action: Callable[[], None], notice=None) -> bool:
        """Whether it went well; if not, the panel says why, near the button."""
        try:
            action()
        except VoxMMSDError as error:
            self._put(notice or self.ui.noticeLabel, words.plain(error))
            return False
        return True

    def _put(self, notice, text: str) -> None:
        notice.setText(text)
        notice.setVisible(bool(text))
        if text:
            self._scrollers[id(notice)].start()

    def _say_of_cases(self, text: str) -> None:
        self._put(self.ui.casesNotice, text)


def _about(case: HoldOutCase) -> str:
    if case.counts:
        return _("{case}: counts in the verdict").format(case=case.case_id)
    reason = case.unfair or _("it has no region that could be scored")
    return _("{case}: does not count in the verdict: {reason}").format(case=case.case_id, reason=reason)


def _headline(found: RunResult | None) -> str:
    if found is None:
        return _("No finished run yet.")
    if not found.schema:
        return _("A pre-trained network: it cannot segment yet, fine-tuning can start from it.")
    if not found.old:
        return _("{model}: was not compared with another model.").format(model=found.model)
    if found.outcome == Outcome.BETTER and found.few:
        patients = _("one patient") if found.patients == 1 else _("{count} patients").format(count=found.patients)
        return _("The new model was better, but on only {patients}: too few to be sure.").format(patients=patients)
    if found.outcome == Outcome.BETTER and not found.sure:
        return _("The new model was better on average, but this is not certain.")
    outcomes = {
        Outcome.BETTER: _("The new model is better."),
        Outcome.WORSE: _("The new model is worse."),
        Outcome.ALIKE: _("The old and the new model perform alike."),
    }
    unknown = _("The old and the new model cannot be compared.")
    return outcomes.get(found.outcome, unknown) if found.outcome is not None else unknown


def _details(found: RunResult | None) -> str:
    if found is None or not found.schema:
        return ""
    if not found.old:
        if not found.text:
            return _("No labeled case was held out, so its accuracy is unknown.")
        return _("Dice on {cases} cases, which it did not learn from:").format(cases=found.text)
    lines = [_("{new} against {old}: {text}.").format(new=found.model, old=found.old, text=found.text)]
    if found.few:
        lines.append(_("Only few patients count: look at the cases yourself before you decide."))
    return "<br>".join(lines)


def _three(old: float | None, new: float | None) -> tuple[str, str, str]:
    def shown(value: float, form: str = ".3f") -> str:
        return format(value, form) if math.isfinite(value) else NOTHING

    before, after = (math.nan if value is None else value for value in (old, new))
    return shown(before), shown(after), shown(after - before, "+.3f")
