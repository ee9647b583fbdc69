"""Pictures of VoxMMSDTrain's tabs in Slicer, for the tutorials; made by Slicer itself:

    Slicer --no-splash --additional-module-paths VoxMMSDSegment VoxMMSDTrain \
        --python-script Testing/Slicer/train_screenshots_in_slicer.py HOME OUT

HOME is a VOXMMSD_HOME that ``python -m headless_slicer.train_screenshots SOMEWHERE --home HOME`` (in ``Testing/``) has
filled with synthetic patients, a library and runs; OUT the folder of the pictures (``train-TAB.png``).
"""

import argparse
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import ctk
import slicer

sys.path.insert(0, str(Path(__file__).resolve().parent))
from script_in_slicer import run_when_started, settle
from slicer_case import wait_until

SHOWN_HOME = "/data/voxmmsd"
WIDTH, HEIGHT = 1600, 1180
TRIAL = 3  # of the sizes
SECONDS = 1800


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(sys.argv[1:])
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["VOXMMSD_HOME"] = str(options.home)
    window = slicer.util.mainWindow()
    window.showNormal()
    window.resize(WIDTH, HEIGHT)
    slicer.util.setDataProbeVisible(False)
    import VoxMMSDTrain  # noqa: F401  the core lies beside it
    from VoxMMSDLib import settings

    settings.write("library", str(options.home / "library"))
    settings.write("TrainDevice", "cpu")
    slicer.util.selectModule("VoxMMSDTrain")
    panel = slicer.modules.VoxMMSDTrainWidget
    picture = Picture(panel, options.home, options.out)
    panel.showTab("Library")
    panel.library.refresh()
    panel.library.ui.nextButton.click()
    wait_until(lambda: not panel.work.is_running, SECONDS)
    picture("train-library")
    panel.showTab("Task")
    _fill_task(panel, options.home / "library")
    panel.task.ui.estimateButton.click()
    wait_until(lambda: panel.task.ui.startButton.enabled, SECONDS)
    picture("train-task")
    panel.showTab("Run")
    panel.run.follow(options.home / "runs" / "corrections")
    picture("train-run")
    panel.showTab("Result")
    panel.result.show(options.home / "runs" / "corrections")
    picture("train-result")


def _fill_task(panel, library):
    from voxmmsd.config import make_config
    from voxmmsd.training_config import FinetuneConfig

    ui = panel.task.ui
    panel.task.learn_from(library)
    panel.task.refresh()
    ui.taskChoice.setCurrentIndex(0)
    ui.dataPath.currentPath = str(library)
    ui.presetChoice.setCurrentIndex(TRIAL)
    ui.stepsBox.setValue(120)
    ui.nameEdit.text = "corrections"
    panel.task.more_options.show(make_config(FinetuneConfig, {"preset": "tiny", "validate_every": 15}))


class Picture:
    """Draws the panel as it is, whole, with folders named as they are elsewhere."""

    def __init__(self, panel, home, out):
        self._panel, self._home, self._out = panel, str(home), out

    def __call__(self, name):
        settle()
        with self._paths_of_nobody():
            settle(300)
            page = self._panel.ui.tabs.currentWidget()
            whole = ctk.ctkWidgetsUtils.grabWidget(self._panel.parent)
            # By itself the panel is as high as its highest tab.
            spare = max(0, page.height - page.layout().totalHeightForWidth(page.width))
            whole = whole.copy(0, 0, whole.width(), whole.height() - spare)
            whole.save(str(self._out / f"{name}.png"))
        print(self._out / f"{name}.png", flush=True)

    @contextmanager
    def _paths_of_nobody(self):
        edits = [one for one in slicer.util.findChildren(self._panel.parent) if "LineEdit" in one.className()]
        shown = [one for one in edits if isinstance(getattr(one, "text", None), str) and self._home in one.text]
        texts = [one.text for one in shown]
        for one, text in zip(shown, texts, strict=True):
            _write(one, text.replace(self._home, SHOWN_HOME))
        try:
            yield
        finally:
            for one, text in zip(shown, texts, strict=True):
                _write(one, text)


def _write(edit, text):
    """For the eye alone: nothing hears of it."""
    edit.blockSignals(True)
    edit.setText(text)
    edit.blockSignals(False)


run_when_started(main)
