"""Pictures of the training module's tabs at 400 px, light and dark, with what real child processes made of phantoms.

``python -m headless_slicer.train_screenshots OUT [--home DIR]``: a home that was filled before is shown as it is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PySide6 import QtWidgets

from headless_slicer import grounds, host

SIDE, SECONDS = 48, 3600
SHOWN_HOME = "/data/voxmmsd"
FINETUNE, PRETRAIN = 0, 1
TRIAL = 3  # of the sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", help="folder of the pictures")
    parser.add_argument("--home", default="", help="VOXMMSD_HOME to show; filled if it is empty")
    options = parser.parse_args()
    home = Path(options.home or tempfile.mkdtemp(prefix="voxmmsd-home-"))
    os.environ["VOXMMSD_HOME"] = str(home)
    picture_tabs(Path(options.out), home)


def picture_tabs(out: Path, home: Path) -> None:
    """Fill ``home`` ($VOXMMSD_HOME) unless it is filled; write ``train-TAB.png``, ``train-TAB-dark.png``."""
    slicer = host.start()
    host.load_module("VoxMMSDTrain")
    _show_settings(home)
    panel = host.open_widget("VoxMMSDTrain")
    if not (home / "library").is_dir():
        _teach_a_first_model(panel, home)
        _fill_library(home)
    panel.showTab("Library")
    panel.library.refresh()
    panel.library.ui.nextButton.click()
    host.wait_until(lambda: not panel.work.is_running)
    _both(panel, out, "train-library", home)
    panel.showTab("Task")
    panel.task.learn_from(home / "library")
    panel.task.refresh()
    _choose(panel, FINETUNE, home / "library", "corrections", 120)
    panel.task.ui.estimateButton.click()
    host.wait_until(lambda: panel.task.ui.startButton.enabled, SECONDS)
    _both(panel, out, "train-task", home)
    if not (home / "runs" / "corrections").is_dir():
        _start(panel, home / "runs" / "corrections")
        host.wait_until(lambda: panel.run.ui.progressBar.value > 15 and panel.run.ui.curveChoice.count, SECONDS)
        _both(panel, out, "train-running", home)
        _finish(panel, home / "runs" / "corrections")
        _choose(panel, PRETRAIN, home / "scans", "scans", 20)
        _start(panel, home / "runs" / "scans")
        _finish(panel, home / "runs" / "scans")
    for name, picture in (("scans", "train-run-scans"), ("corrections", "train-run")):
        panel.showTab("Run")
        panel.run.follow(home / "runs" / name)
        _both(panel, out, picture, home)
    panel.showTab("Result")
    panel.result.show(home / "runs" / "corrections")
    _both(panel, out, "train-result", home)
    panel.cleanup()
    slicer.app.processEvents()
    print(*sorted(str(file) for file in out.glob("train-*.png")), sep="\n")


def _show_settings(home: Path) -> None:
    from VoxMMSDLib import settings

    settings.write("library", str(home / "library"))
    settings.write("TrainDevice", "cpu")


def _teach_a_first_model(panel: Any, home: Path) -> None:
    from voxmmsd.phantom import write_phantoms

    write_phantoms(home / "labelled", 3, seed=5, side=SIDE)
    write_phantoms(home / "scans", 3, seed=6, side=SIDE)
    _choose(panel, FINETUNE, home / "labelled", "first", 60)
    _start(panel, home / "runs" / "first")
    _finish(panel, home / "runs" / "first")
    panel.showTab("Result")
    panel.result.ui.acceptButton.click()
    host.wait_until(lambda: not panel.work.is_running)


def _fill_library(home: Path) -> None:
    """Eight cases with an expert's label, three of them held out, and three that only the model has segmented."""
    from voxmmsd.data.cases import find_cases, read_case
    from voxmmsd.data.formats.sources import read_volume
    from voxmmsd.data.volume import Volume
    from voxmmsd.inference.engines import open_engine
    from voxmmsd.inference.predict import predict
    from voxmmsd.labels import indices_from_values, schema_named
    from voxmmsd.library import create_library
    from voxmmsd.models.registry import resolve_model
    from voxmmsd.phantom import write_phantoms

    write_phantoms(home / "patients", 11, seed=7, side=SIDE)
    library = create_library(home / "library", seed=0)
    package = resolve_model()
    engine = open_engine(package)
    for number, case in enumerate(find_cases(home / "patients").cases):
        images = {name: read_volume(source) for name, source in case.modalities.items()}
        library.add_case(case.id, images, part="hold-out" if number in (2, 5, 7) else "training")
        label = read_volume(case.label)
        schema = schema_named(case.schema)
        truth = Volume(indices_from_values(label.array, schema, case.id), label.grid)
        if number >= 8 or (number < 4 and number != 2):
            said = predict(read_case(case, with_label=False), package, engine).label_zyx
            library.add_prediction(case.id, Volume(indices_from_values(said, schema, case.id), label.grid), case.schema,
                                   package.info.id)  # fmt: skip
        if number < 8:
            library.accept(case.id, truth, case.schema)


def _choose(panel: Any, task: int, cases: Path, name: str, steps: int) -> None:
    from voxmmsd.config import make_config
    from voxmmsd.training_config import FinetuneConfig, PretrainConfig

    panel.showTab("Task")
    ui = panel.task.ui
    ui.taskChoice.setCurrentIndex(task)
    ui.dataPath.currentPath = str(cases)
    ui.presetChoice.setCurrentIndex(TRIAL)
    ui.startChoice.setCurrentIndex(0)
    ui.stepsBox.setValue(steps)
    ui.nameEdit.text = name
    kind = PretrainConfig if task == PRETRAIN else FinetuneConfig
    every = {"preview_every": 10} if task == PRETRAIN else {"validate_every": 15}
    panel.task.more_options.show(make_config(kind, {"preset": "tiny", "threads": 1, **every}))


def _start(panel: Any, run: Path) -> None:
    panel.task.ui.startButton.click()
    host.wait_until(lambda: panel.run.follower is not None and panel.run.follower.folder == run, 600)


def _finish(panel: Any, run: Path) -> None:
    from voxmmsd.runs import view_run

    host.wait_until(lambda: view_run(run).is_over, SECONDS)
    if view_run(run).state != "finished":
        raise SystemExit(view_run(run).line())
    panel.run.look()


def _both(panel: Any, out: Path, name: str, home: Path) -> None:
    """The tab as it is, as high as it needs to be, in the light and in the dark palette."""
    for suffix, palette in (("", "light"), ("-dark", "dark")):
        QtWidgets.QApplication.setPalette(grounds.palette(palette))
        for tab in (panel.run, panel.result):
            tab.redraw()
        with _paths_of_nobody(panel, home):
            height = None
            for _laid_out in range(2):  # how high it wants to be is known once it was shown
                host.picture(panel.parent, out / f"{name}{suffix}.png", height=height)
                height = _height(panel)
    QtWidgets.QApplication.setPalette(grounds.palette("light"))


def _height(panel: Any) -> int:
    """Of the panel with the tab that is open; by itself it is as high as its highest tab."""
    real, page = QtWidgets.QWidget, panel.ui.tabs.currentWidget()
    needed = real.layout(page).totalHeightForWidth(real.width(page))
    return real.height(panel.parent) - real.height(page) + needed


@contextmanager
def _paths_of_nobody(panel: Any, home: Path) -> Iterator[None]:
    """Show folders as they are called elsewhere, not the temporary ones of this computer."""
    edits = [
        e
        for e in QtWidgets.QWidget.findChildren(panel.parent, QtWidgets.QLineEdit)
        if QtWidgets.QLineEdit.text(e).startswith(str(home))
    ]
    texts = [QtWidgets.QLineEdit.text(edit) for edit in edits]
    for edit, text in zip(edits, texts, strict=True):
        _write(edit, text.replace(str(home), SHOWN_HOME))
    try:
        yield
    finally:
        for edit, text in zip(edits, texts, strict=True):
            _write(edit, text)


def _write(edit: QtWidgets.QLineEdit, text: str) -> None:
    """For the eye alone: nothing hears of it."""
    QtWidgets.QLineEdit.blockSignals(edit, True)
    QtWidgets.QLineEdit.setText(edit, text)
    QtWidgets.QLineEdit.blockSignals(edit, False)


if __name__ == "__main__":
    main()
