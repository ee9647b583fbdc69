"""The tab Result: old model against new on hold-out patients, the verdict, and the user's decision."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from VoxMMSDTrainLib import tables
from VoxMMSDTrainLib.comparison import Comparison, library_of, read_comparison
from VoxMMSDTrainLib.curves import CurvePlot, square
from VoxMMSDTrainLib.models import finished
from VoxMMSDTrainLib.run import RunSection
from VoxMMSDTrainLib.unnamed import UnnamedPairs

NOTHING = "–"


class ResultSection:
    """Only proposes: a model comes into use by the button, and one that is worse by a tick more."""

    def __init__(self, ui, run: RunSection, on_decided: Callable[[], None] = lambda: None) -> None:
        self.ui, self._run, self._on_decided = ui, run, on_decided
        self.comparison: Comparison | None = None
        self._folders: list[Path] = []
        self._plot = CurvePlot(ui.plotView, "VoxMMSDTrainResult")
        tables.prepare(ui.regionsTable, (90, 80, 80))
        tables.prepare(ui.casesTable, (124, 42, 42, 76))
        self.unnamed = UnnamedPairs(ui, self._say)
        ui.runChoice.connect("currentIndexChanged(int)", self._choose_other)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda *_cell: self._open())
        ui.casesTable.connect("itemSelectionChanged()", self._enable)
        ui.forceBox.connect("toggled(bool)", self._enable)
        ui.openButton.connect("clicked()", self._open)
        ui.acceptButton.connect("clicked()", lambda: self._do(self._accept))
        ui.rejectButton.connect("clicked()", lambda: self._do(self._reject))
        ui.rollBackButton.connect("clicked()", lambda: self._do(self._roll_back))
        ui.importButton.connect("clicked()", lambda: self._do(self._import))
        self.refresh()

    def refresh(self) -> None:
        """Runs may have finished, models may have come."""
        folders = finished(self._run.folder)
        if folders != self._folders:
            choice, was = self.ui.runChoice, self.ui.runChoice.currentText
            self._folders, names = folders, [folder.name for folder in folders]
            was_blocked = choice.blockSignals(True)
            choice.clear()
            choice.addItems(names)
            choice.setCurrentIndex(names.index(was) if was in names else 0)
            choice.blockSignals(was_blocked)
        self._choose()

    def show(self, folder: Path) -> None:
        """Choose a run that has just finished."""
        self.refresh()
        if folder in self._folders:
            self.ui.runChoice.setCurrentIndex(self._folders.index(folder))
            self._choose_other()

    def redraw(self) -> None:
        """After the scene was closed: its nodes are gone."""
        self._draw()

    def cleanup(self) -> None:
        self._plot.remove()
        self.unnamed.cleanup()

    def _choose(self, *_arguments) -> None:
        number = self.ui.runChoice.currentIndex
        self.comparison = None
        if 0 <= number < len(self._folders):
            try:
                self.comparison = read_comparison(self._folders[number])
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # whatever is no such record
                self._say(_("{run}: cannot be read ({error})").format(run=self._folders[number], error=error))
        self.ui.forceBox.checked = False
        self._show()

    def _choose_other(self, *_arguments) -> None:
        self._say("")  # what was said is of the run before
        self._choose()

    def _show(self) -> None:
        ui, found = self.ui, self.comparison
        ui.verdictLabel.text = _headline(found)
        ui.detailLabel.text = _details(found)
        ui.detailLabel.visible = bool(ui.detailLabel.text)
        regions = found.regions if found else {}
        tables.fill(ui.regionsTable, [(key, *_three(old, new)) for key, (old, new) in regions.items()])
        ui.regionsTable.visible = bool(regions)
        cases = found.cases if found else ()
        counts = [_("no: {reason}").format(reason=case.unfair) if case.unfair else _("yes") for case in cases]
        rows = [(case.case_id, *_three(case.old, case.new), text) for case, text in zip(cases, counts, strict=True)]
        tables.fill(ui.casesTable, rows, [f"{case.case_id}: {text}" for case, text in zip(cases, counts, strict=True)])
        ui.casesTable.visible = ui.openButton.visible = bool(cases)
        ui.forceBox.visible = found is not None and found.is_worse
        self.unnamed.show(found)
        self._draw()
        self._enable()

    def _draw(self) -> None:
        regions = self.comparison.regions if self.comparison else {}
        bars = {_("old"): [old for old, _new in regions.values()], _("new"): [new for _old, new in regions.values()]}
        bars = {name: [value or 0.0 for value in values] for name, values in bars.items()}
        colors = {name: number for number, name in enumerate(bars) if any(bars[name])}  # new is new's, also alone
        bars = {name: bars[name] for name in colors}
        self.ui.plotView.visible = self.ui.plotLabel.visible = bool(bars)
        if bars:
            self._plot.show_bars(list(regions), bars, colors)
        # A plot view writes no names at the axis of bars (qMRMLPlotView.cxx), so the panel does.
        legend = " &nbsp; ".join(f"{square(number)} {name}" for name, number in colors.items())
        groups = _("Mean Dice, from left to right: {regions}").format(regions=", ".join(regions))
        self.ui.plotLabel.text = f"{legend}<br>{groups}"

    def _enable(self, *_arguments) -> None:
        from voxmmsd.models.registry import accepted_times, resolve_model, state_of

        ui, found = self.ui, self.comparison
        segments = found is not None and bool(found.schema)
        state = state_of(found.model) if segments else ""
        ui.acceptButton.enabled = segments and state != "accepted" and (not found.is_worse or ui.forceBox.checked)
        ui.rejectButton.enabled = segments and state != "rejected"
        ui.rollBackButton.enabled = bool(accepted_times())
        ui.openButton.enabled = tables.chosen_row(ui.casesTable) is not None
        try:
            used = resolve_model().info.id
        except VoxMMSDError:
            used = _("none")
        words = {"accepted": _("accepted"), "rejected": _("rejected"), "rolled back": _("rolled back")}
        about = _("This one is {state}. ").format(state=words[state]) if state in words else ""
        ui.usedLabel.text = about + _("Model in use: <b>{model}</b>").format(model=used)

    def _accept(self) -> None:
        from voxmmsd.models.registry import accept, resolve_model

        package = accept(resolve_model(str(self.comparison.folder)), force=self.ui.forceBox.checked)
        self._decided(_("{model} is in use from now on, in the segmentation module too.").format(model=package.info.id))

    def _reject(self) -> None:
        from voxmmsd.models.registry import reject, resolve_model

        package = reject(resolve_model(str(self.comparison.folder)))
        self._decided(_("{model} is rejected; its run stays.").format(model=package.info.id))

    def _roll_back(self) -> None:
        from voxmmsd.models.registry import rollback

        before, after = rollback()
        said = _("{before} is taken back; in use now: {after}.")
        self._decided(said.format(before=before, after=after or _("none")))

    def _import(self) -> None:
        from voxmmsd.models.registry import import_model, resolve_model

        package = import_model(resolve_model(self.ui.importPath.currentPath).folder)
        self._decided(_("{model} is in the registry.").format(model=package.info.id))

    def _decided(self, text: str) -> None:
        self._say(text)
        self._enable()
        self._on_decided()

    def _open(self) -> None:
        row = tables.chosen_row(self.ui.casesTable)
        if row is not None:
            self._do(lambda: self._load(self.comparison.cases[row].case_id))

    def _load(self, case_id: str) -> None:
        from VoxMMSDTrainLib.both_models import open_both

        open_both(self.comparison, library_of(self.comparison), case_id)
        self._say(_("{case} is in the scene with the segmentations of both models.").format(case=case_id))

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except VoxMMSDError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self.ui.noticeLabel.text = text
        self.ui.noticeLabel.visible = bool(text)


def _headline(found: Comparison | None) -> str:
    if found is None:
        return _("No finished run yet.")
    if not found.schema:
        return _("A pre-trained network: it cannot segment yet, fine-tuning can start from it.")
    if not found.old:
        return _("{model}: was compared with no other model.").format(model=found.model)
    words = {
        "better": _("The new model is better."),
        "worse": _("The new model is worse."),
        "alike": _("Old and new model are alike."),
    }
    return words.get(found.outcome, _("Nothing can be said of old and new model."))


def _details(found: Comparison | None) -> str:
    if found is None or not found.schema:
        return ""
    if not found.old:
        if not found.text:
            return _("No labelled case was held out: nothing is known of how good it is.")
        return _("Dice on {cases} cases, which it did not learn from:").format(cases=found.text)
    lines = [_("{new} against {old}: {text}.").format(new=found.model, old=found.old, text=found.text)]
    if found.few:
        lines.append(_("Few patients count: look at the cases yourself before you decide."))
    return "<br>".join(lines)


def _three(old: float | None, new: float | None) -> tuple[str, str, str]:
    numbers = [value is not None and math.isfinite(value) for value in (old, new)]
    return (
        f"{old:.3f}" if numbers[0] else NOTHING,
        f"{new:.3f}" if numbers[1] else NOTHING,
        f"{new - old:+.3f}" if all(numbers) else NOTHING,
    )
