"""Pictures of the training module's tabs at 400 px, light and dark, with what real child processes made of phantoms.

``python -m headless_slicer.train_screenshots OUT [--home DIR]``: a home that was filled before is shown as it is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from headless_slicer import host

SIDE, SECONDS = 48, 3600
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
    """Fill ``home``, unless it is filled, and write ``train-TAB.png`` and ``train-TAB-dark.png``."""
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
    _both(panel, out, "train-library")
    panel.showTab("Task")
    panel.task.learn_from(home / "library")
    panel.task.refresh()
    _choose(panel, FINETUNE, home / "library", "corrections", 40)
    panel.task.ui.estimateButton.click()
    host.wait_until(lambda: panel.task.ui.startButton.enabled, SECONDS)
    _both(panel, out, "train-task")
    if not (home / "runs" / "corrections").is_dir():
        _start(panel, home / "runs" / "corrections")
        host.wait_until(lambda: panel.run.ui.progressBar.value > 15 and panel.run.ui.curveChoice.count, SECONDS)
        _both(panel, out, "train-running")
        _finish(panel, home / "runs" / "corrections")
        _choose(panel, PRETRAIN, home / "scans", "scans", 20)
        _start(panel, home / "runs" / "scans")
        _finish(panel, home / "runs" / "scans")
    for name in ("corrections", "scans"):
        panel.showTab("Run")
        panel.run.follow(home / "runs" / name)
        _both(panel, out, f"train-run-{name}")
    panel.showTab("Result")
    panel.result.show(home / "runs" / "corrections")
    _both(panel, out, "train-result")
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
    _choose(panel, FINETUNE, home / "labelled", "first", 20)
    _start(panel, home / "runs" / "first")
    _finish(panel, home / "runs" / "first")
    panel.showTab("Result")
    panel.result.ui.acceptButton.click()


def _fill_library(home: Path) -> None:
    """Eight cases with an expert's label, three of them held out, and three that only the model has segmented."""
    from voxmmsd.data.cases import find_cases, read_case
    from voxmmsd.data.sources import read_volume
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
    from voxmmsd.config import FinetuneConfig, PretrainConfig, make_config

    panel.showTab("Task")
    ui = panel.task.ui
    ui.taskChoice.setCurrentIndex(task)
    ui.dataPath.currentPath = str(cases)
    ui.presetChoice.setCurrentIndex(TRIAL)
    ui.startChoice.setCurrentIndex(0)
    ui.stepsBox.setValue(steps)
    ui.nameEdit.text = name
    kind = PretrainConfig if task == PRETRAIN else FinetuneConfig
    every = {"preview_every": 10} if task == PRETRAIN else {"validate_every": 10}
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


def _both(panel: Any, out: Path, name: str) -> None:
    """The panel as it is, in the light and in the dark palette."""
    from PySide6 import QtWidgets

    application = QtWidgets.QApplication.instance()
    light = application.palette()
    for suffix, palette in (("", light), ("-dark", _dark())):
        application.setPalette(palette)
        for section in (panel.run, panel.result):
            section.redraw()
        for _laid_out in range(2):  # how high it wants to be is known once it was shown
            host.picture(panel.parent, out / f"{name}{suffix}.png")
    application.setPalette(light)


def _dark() -> Any:
    """About the colors of Slicer's dark style."""
    from PySide6.QtGui import QColor, QPalette

    palette = QPalette(QColor(50, 50, 50), QColor(50, 50, 50))
    for role, color in (
        (QPalette.ColorRole.Base, QColor(30, 30, 30)),
        (QPalette.ColorRole.AlternateBase, QColor(42, 42, 42)),
        (QPalette.ColorRole.Highlight, QColor(80, 120, 180)),
    ):
        palette.setColor(role, color)
    return palette


if __name__ == "__main__":
    main()
