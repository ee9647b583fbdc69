"""What the tests of the training module share: tiny patients, tiny runs, and waiting while the panel lives."""

import logging
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import end_trainings
import slicer
import slicer_case

from voxmmsd.config import make_config
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, view_run
from voxmmsd.runs.control import stop
from voxmmsd.training_config import FinetuneConfig
from VoxMMSDLib.child import child_environment, python_slicer

SIDE = 32
TINY = {
    "preset": "tiny",
    "channels": [4, 8],
    "patch": 16,
    "batch": 1,
    "steps": 6,
    "validate_every": 3,
    "checkpoint_every": 3,
    "device": "cpu",
    "threads": 1,
    "workers": 1,
}


class TrainTest(slicer_case.ModuleTest):
    """Base of the training module's tests; runs in Slicer and in the headless host."""

    def setUp(self):
        super().setUp()
        self._faults = []  # of slots: Qt prints them and goes on
        before = sys.excepthook
        sys.excepthook = lambda kind, fault, trace: (self._faults.append(fault), before(kind, fault, trace))
        self.addCleanup(setattr, sys, "excepthook", before)
        told = logging.Handler(logging.ERROR)  # faults that a panel has put into words
        told.emit = lambda record: self._faults.append(record.getMessage())
        logging.getLogger().addHandler(told)
        self.addCleanup(logging.getLogger().removeHandler, told)
        self._watch = None

    def phantoms(self, count=2, seed=7, side=SIDE):
        folder = self.folder / "cases"
        write_phantoms(folder, count, seed=seed, side=side)
        return folder

    def library(self, predicted=0, accepted=0, unlabeled=0, seed=7):
        """A library of phantoms: some that a model ``toy-1`` predicted, some with an expert's label, some with none."""
        from voxmmsd.data.cases import find_cases
        from voxmmsd.data.formats.sources import read_volume
        from voxmmsd.data.volume import Volume
        from voxmmsd.labels import indices_from_values, schema_named
        from voxmmsd.library import create_library

        library = create_library(self.folder / "library", seed=0)
        for number, case in enumerate(find_cases(self.phantoms(predicted + accepted + unlabeled, seed)).cases):
            images = {name: read_volume(source) for name, source in case.modalities.items()}
            library.add_case(case.id, images, part="hold-out" if number % 2 else "training")
            label = read_volume(case.label)
            indices = Volume(indices_from_values(label.array, schema_named(case.schema), case.id), label.grid)
            if number < predicted:
                library.add_prediction(case.id, indices, case.schema, "toy-1")
            elif number < predicted + accepted:
                library.accept(case.id, indices, case.schema, drawn_over=())
        return library

    def model_in_use(self):
        """A network of random weights, accepted; its id."""
        import torch

        from voxmmsd.labels import MODALITIES, schema_named
        from voxmmsd.model_config import NetworkConfig, PreprocessConfig
        from voxmmsd.models.package import ModelInfo
        from voxmmsd.models.registry import accept
        from voxmmsd.models.weights import pack_network
        from voxmmsd.networks.heads import SegmentationNetwork

        torch.manual_seed(0)
        schema, network = schema_named("brats-gli-2023"), NetworkConfig.of((4, 8))
        info = ModelInfo(
            id="random-1",
            name="random",
            version="0",
            parent=None,
            created="2026-01-02T03:04:05+00:00",
            network=network,
            schema=schema.name,
            modalities=MODALITIES,
            preprocess=PreprocessConfig(),
            window=32,
            training={},
            scores={},
            licence="not stated",
            limits="For tests.",
            files={},
        )
        return accept(
            pack_network(self.folder / "random", SegmentationNetwork(network, schema.class_count), info)
        ).info.id

    def start(self, panel, name="trial", **options):
        """Start a tiny fine-tuning by the panel's logic; its run folder."""
        folder = panel.run.folder / name
        cases = self.folder / "cases" if (self.folder / "cases").is_dir() else self.phantoms()
        self.ends_with_the_test(folder)
        panel.logic.start("finetune", {**TINY, "folders": [str(cases)], **options}, folder, panel.run.started)
        return folder

    def ends_with_the_test(self, folder):
        """No training may live on: neither where the test fails, nor where all of Slicer is killed."""
        if self._watch is None:
            self._watch = subprocess.Popen(
                [python_slicer(), str(Path(end_trainings.__file__)), str(self.folder)],
                env=child_environment(), stdin=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            self.addCleanup(self._watch.wait, 60)
            self.addCleanup(self._watch.stdin.close)
        self.addCleanup(self.end, folder)

    def end(self, folder):
        if (folder / "status.json").is_file() and not view_run(folder).is_over:
            stop(folder, Request.CANCEL, 60)

    def train(self, panel, name, cases, steps, size=16, **more):
        """Fill the tab Task with a trial on the model in use, if any; press Start and wait for the end; the run."""
        ui = panel.task.ui
        panel.showTab("Task")
        ui.dataPath.currentPath = str(cases)
        ui.presetChoice.setCurrentIndex(3)
        ui.startChoice.setCurrentIndex(0)
        ui.stepsBox.setValue(steps)
        ui.sizeBox.setValue(size)
        ui.batchBox.setValue(2)
        ui.nameEdit.text = name
        panel.task.more_options.show(make_config(FinetuneConfig, {"preset": "tiny", **more}))
        folder = panel.run.folder / name
        self.ends_with_the_test(folder)
        ui.startButton.click()
        self.assertIn("Starting", ui.noticeLabel.text)
        self.wait_for_state(folder, "finished")
        self.wait_for(lambda: panel.result.comparison is not None and panel.result.comparison.folder == folder)
        return folder

    def wait_for_work(self, panel):
        """Until what was begun in the panel, such as opening a case, is done."""
        self.wait_for(lambda: not panel.work.is_running)

    def answer(self, yes):
        """Answer all questions from now on; the list of what is asked."""
        asked = []

        def confirm(text, windowTitle=None, parent=None, **kwargs):
            asked.append(text)
            return yes

        patch = mock.patch.object(slicer.util, "confirmYesNoDisplay", confirm)
        patch.start()
        self.addCleanup(patch.stop)
        return asked

    @contextmanager
    def main_window(self):
        """Slicer's own; outside Slicer the host's. A Slicer without one skips the test."""
        if slicer.util.mainWindow() is not None:
            yield slicer.util.mainWindow()
            return
        try:
            from headless_slicer.main_window import MainWindow
        except ImportError:
            self.skipTest("Slicer runs without a main window")
        with MainWindow() as window:
            yield window

    def wait_for(self, condition, seconds=900):
        """Let the panel live until ``condition()``."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertEqual(self._faults, [])
            self.assertLess(time.monotonic(), end, f"not reached in {seconds} s: {condition}")
            slicer.app.processEvents()
            time.sleep(0.05)

    def wait_for_state(self, folder, *states):
        self.wait_for(lambda: (folder / "status.json").is_file() and view_run(folder).state in (*states, "failed"))
        self.assertIn(view_run(folder).state, states, view_run(folder).error)
