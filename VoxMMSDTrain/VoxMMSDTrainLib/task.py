"""The tab Task: what is learned from which cases, how long that will take here, and the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.config import DEVICES, make_config
from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.verbs.finetune import configured
from voxmmsd.wording import in_words
from VoxMMSDLib import library_folder, settings
from VoxMMSDLib.child import Child
from VoxMMSDLib.pages import Page
from VoxMMSDTrainLib import models, words
from VoxMMSDTrainLib.launch import options_file
from VoxMMSDTrainLib.logic import VoxMMSDTrainLogic, free_folder
from VoxMMSDTrainLib.options import OptionsForm
from VoxMMSDTrainLib.run import RunTab
from VoxMMSDTrainLib.training_packages import ensure_training

DATA = "TrainData{}"  # settings; of each verb its own
DEVICE = "TrainDevice"
MANY_HOURS = 4  # more than an afternoon


@dataclass(frozen=True)
class Size:
    """A preset of the core, and the share of its steps."""

    title: str
    preset: str
    share: float


class TaskTab:
    """Reads the choices, and hands them to the logic; ``on_start`` is called when a run is on its way."""

    def __init__(self, ui: Page, logic: VoxMMSDTrainLogic, run: RunTab, on_start: Callable[[], None]) -> None:
        self.ui, self._logic, self._run, self._on_start = ui, logic, run, on_start
        self._child: Child | None = None  # an estimate, or the export of a job
        self._options = Path()  # the file of its options
        self._verbs = [("finetune", _("Fine-tune on corrected cases")), ("pretrain", _("Pre-train without labels"))]
        self._sizes = [
            Size(_("Quick"), "small", 0.25),
            Size(_("Standard"), "small", 1.0),
            Size(_("Full: a larger network, for GPUs"), "paper", 1.0),
            Size(_("Trial: to check that everything works"), "tiny", 1.0),
        ]
        self._starts: list[models.Choice] = []
        self._forms = {kind: OptionsForm(ui.moreStack, kind) for kind in (FinetuneConfig, PretrainConfig)}
        ui.taskChoice.addItems([title for _verb, title in self._verbs])
        ui.presetChoice.addItems([size.title for size in self._sizes])
        ui.presetChoice.setCurrentIndex(1)
        ui.deviceChoice.addItems([_("automatic"), *DEVICES[1:]])
        ui.deviceChoice.setCurrentIndex(DEVICES.index(settings.read(DEVICE, "auto")))
        ui.taskChoice.connect("currentIndexChanged(int)", self._change_task)
        ui.presetChoice.connect("currentIndexChanged(int)", self._fill)
        ui.startChoice.connect("currentIndexChanged(int)", self._change_start)
        ui.deviceChoice.connect("currentIndexChanged(int)", lambda i: settings.write(DEVICE, DEVICES[i]))
        ui.dataPath.connect("currentPathChanged(QString)", self._change_data)
        ui.estimateButton.connect("clicked()", self._estimate)
        ui.cancelButton.connect("clicked()", self._cancel)
        ui.startButton.connect("clicked()", self._start)
        ui.exportButton.connect("clicked()", self._export)
        self._change_task()
        self._say("")
        self._enable()

    def cleanup(self) -> None:
        if self._child is not None:
            self._child.close()
            self._options.unlink(missing_ok=True)

    @property
    def verb(self) -> str:
        return self._verbs[self.ui.taskChoice.currentIndex][0]

    @property
    def more_options(self) -> OptionsForm:
        """The less important ones, of the chosen task."""
        return self._forms[self._kind]

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the verb's configuration, as chosen."""
        ui, size = self.ui, self._sizes[self.ui.presetChoice.currentIndex]
        chosen = {
            "folders": [ui.dataPath.currentPath],
            "preset": size.preset,
            "steps": ui.stepsBox.value,
            "batch": ui.batchBox.value,
            "device": DEVICES[ui.deviceChoice.currentIndex],
            "name": ui.nameEdit.text.strip(),
            **self.more_options.values(),
        }
        if self._kind is PretrainConfig:
            return {**chosen, "block": ui.sizeBox.value}
        return {**chosen, "patch": ui.sizeBox.value, "start": self.start}

    @property
    def start(self) -> str:
        """The model that a fine-tuning starts from; empty: from scratch."""
        return self._starts[max(0, self.ui.startChoice.currentIndex)].spec

    def refresh(self) -> None:
        """Models and cases may have come since."""
        self._offer_starts()
        self._look_at_data()

    def learn_from(self, library: Path) -> None:
        """Take the library that has just been chosen or filled, unless the user named another folder of cases."""
        here = self.ui.dataPath.currentPath
        if self.verb == "finetune" and (not here or _is_library(Path(here))) and _is_library(library):
            self.ui.dataPath.currentPath = str(library)

    @property
    def _kind(self) -> type[FinetuneConfig] | type[PretrainConfig]:
        return FinetuneConfig if self.verb == "finetune" else PretrainConfig

    def _change_task(self, *_arguments) -> None:
        ui, labeled = self.ui, self.verb == "finetune"
        ui.moreStack.setCurrentIndex(list(self._forms).index(self._kind))
        ui.moreBox.collapsed = True
        ui.startLabel.setVisible(labeled)
        ui.startChoice.setVisible(labeled)
        ui.sizeLabel.setText(_("&Patch:") if labeled else _("Bloc&k:"))
        self._offer_starts()
        default = settings.read(library_folder.SETTING, "") if labeled else ""
        ui.dataPath.currentPath = settings.read(DATA.format(self.verb), "") or default
        ui.nameEdit.setText(_("corrections") if labeled else _("scans"))
        self._look_at_data()
        self._fill()

    def _change_data(self, path: str) -> None:
        settings.write(DATA.format(self.verb), path)
        self._look_at_data()
        self._fill()

    def _change_start(self, *_arguments) -> None:
        self._look_at_data()
        self._fill()

    def _offer_starts(self) -> None:
        choice, was = self.ui.startChoice, self.ui.startChoice.currentText
        was_blocked = choice.blockSignals(True)
        self._starts = models.starts(self._run.folder)
        titles = [start.title for start in self._starts]
        choice.clear()
        choice.addItems(titles)
        choice.setCurrentIndex(titles.index(was) if was in titles else 0)
        choice.blockSignals(was_blocked)

    def _fill(self, *_arguments) -> None:
        """Show what the preset says."""
        size = self._sizes[self.ui.presetChoice.currentIndex]
        given: dict[str, Any] = {"preset": size.preset, "folders": [self.ui.dataPath.currentPath]}
        config: FinetuneConfig | PretrainConfig
        if self._kind is FinetuneConfig:  # what has learned already takes fewer steps
            config = configured({**given, "start": self.start})
        else:
            config = make_config(self._kind, given)
        self.ui.stepsBox.setValue(max(1, round(size.share * config.steps)))
        self.ui.sizeBox.setValue(config.patch if isinstance(config, FinetuneConfig) else config.block)
        self.ui.batchBox.setValue(config.batch)
        self.more_options.show(config)
        self._show_text(self.ui.estimateLabel, "")

    def _look_at_data(self) -> None:
        self._show_text(self.ui.dataNotice, self._said_of_data())

    def _said_of_data(self) -> str:
        folder = Path(self.ui.dataPath.currentPath)
        if not self.ui.dataPath.currentPath or not folder.is_dir():
            return _("Choose the folder of the cases.")
        if not _is_library(folder):
            return ""
        from voxmmsd.library import HOLD_OUT, LibraryRecords

        try:
            accepted = [case for case in LibraryRecords(folder).cases() if case.accepted]
        except VoxMMSDError as error:
            return words.plain(error)
        held = sum(case.part == HOLD_OUT for case in accepted)
        text = _("A training library. Labeled cases to learn from: {train}; held out for evaluation: {held}.")
        text = text.format(train=len(accepted) - held, held=held)
        if self.verb == "finetune" and not self.start:
            text += " " + _(
                "From scratch, they train a first model, which is compared with the one in use, if there is one."
            )
        if self.verb == "finetune" and not held:
            text += " " + _("Without a held-out case, the accuracy of a model is unknown.")
        return text

    def _estimate(self) -> None:
        self._say(_("Measuring a few steps ..."))
        self._ask_core("estimate", ["--json"], self._show_estimate)

    def _show_estimate(self, said: str) -> None:
        found = json.loads(said.splitlines()[-1])
        self._say("")
        self._show_text(self.ui.estimateLabel, estimate_in_words(found))

    def _export(self) -> None:
        place = self.ui.exportPath.currentPath
        if not place:
            self._say(_("Choose a folder for the job, next to Export job."))
            return
        self._say(_("Preparing the cases ..."))
        self._ask_core("job", ["--out", place], lambda _said: self._say(_exported(place)))

    def _ask_core(self, verb: str, more: list[str], answer: Callable[[str], None]) -> None:
        """Let a verb of the core look at the options; its last words go to ``answer``."""

        def ended(code: int) -> None:
            child, self._child = self._child, None
            assert child is not None  # it has ended
            self._options.unlink(missing_ok=True)
            self._enable()
            if child.is_canceled:
                self._say(_("Canceled."))
            elif code:
                self._say(words.plain(child.why(code)))
            else:
                answer(child.log)

        try:
            self._check_cases()
            ensure_training()
            self._options = options_file(self.options)
            command = [verb, self.verb, str(self._options), *more]
            self._child = Child(command, self._options, lambda _events: None, ended)
            self._child.start()
        except VoxMMSDError as error:
            self._child = None
            if self._options.is_file():
                self._options.unlink()
            self._say(words.plain(error))
        self._enable()

    def _cancel(self) -> None:
        if self._child is not None:
            self._say(_("Canceling ..."))
            self._child.cancel()

    def _check_cases(self) -> None:
        """Raises InputError: no folder of cases was chosen."""
        if not self.ui.dataPath.currentPath:
            raise InputError(_("No folder of cases is chosen"), _("choose one first"))

    def _start(self) -> None:
        try:
            self._check_cases()
            ensure_training()
            folder = free_folder(self._run.folder, self.ui.nameEdit.text)
            self._logic.start(self.verb, {**self.options, "name": folder.name}, folder, self._started)
        except VoxMMSDError as error:
            self._say(words.plain(error))
            return
        self._say(_("Starting {name} ...").format(name=folder.name))
        self._enable()

    def _started(self, folder: Path, error: str) -> None:
        self._enable()
        self._say(error)
        self._run.started(folder, error)
        if not error:
            self._on_start()

    def _enable(self) -> None:
        free = self._child is None and not self._logic.is_launching
        for button in (self.ui.estimateButton, self.ui.startButton, self.ui.exportButton):
            button.setEnabled(free)
        self.ui.cancelButton.setEnabled(self._child is not None)

    def _say(self, text: str) -> None:
        self._show_text(self.ui.noticeLabel, text)

    def _show_text(self, label, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))


def _is_library(folder: Path) -> bool:
    from voxmmsd.library import is_library

    return is_library(folder)


def estimate_in_words(found: dict[str, Any]) -> str:
    """What ``voxmmsd estimate --json`` found, and what follows from it."""
    device = found["device"].upper()
    lines = [
        _("About <b>{time}</b> on this {device}: {step:.2f} s a step, {cases} cases.").format(
            time=_long(found["seconds"]), device=device, step=found["step_seconds"], cases=found["cases"]
        ),
        _("Memory {memory} of {free_memory} free, disk {disk} of {free_disk} free.").format(
            memory=_size(found["memory_bytes"]),
            free_memory=_size(found["free_memory_bytes"]),
            disk=_size(found["disk_bytes"]),
            free_disk=_size(found["free_disk_bytes"]),
        ),
    ]
    advice = {
        "too long": _("This is not practical on this CPU: export the job to a GPU server."),
        "memory": _("There is not enough memory: choose smaller patches or a smaller size."),
        "disk": _("There is not enough disk space: choose another folder for the runs."),
    }
    warnings = [f"<b>⚠ {advice[problem]}</b>" for problem in found["problems"]]
    if found["seconds"] > MANY_HOURS * 3600 and "too long" not in found["problems"]:
        warnings.append(f"<b>⚠ {_many_hours(found['device'])}</b>")
    return "<br>".join([*lines, *warnings])


def _many_hours(device: str) -> str:
    text = _("This takes many hours: try Quick or fewer steps first.")
    return text + " " + _("On a GPU server it takes a fraction of that.") if device == "cpu" else text


def _long(seconds: float) -> str:
    return _("{days:.1f} days").format(days=seconds / 86400) if seconds > 2 * 86400 else in_words(seconds)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _exported(place: str) -> str:
    return _(
        "{folder} holds the job: copy it to the server and call start.sh there (README.txt says more). To follow it on "
        "a shared folder choose this folder under “Runs in”; or import its model when it is done."
    ).format(folder=place)
