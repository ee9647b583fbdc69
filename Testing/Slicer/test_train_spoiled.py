"""Run folders and libraries that something has spoiled: the panel opens, says what is wrong, and shows the others."""

import json
import time
from pathlib import Path

import slicer
import train_case
from model_record import model_record

from voxmmsd.errors import MissingDependencyError
from VoxMMSDLib import settings


class TrainSpoiledTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("TrainDevice", "cpu")

    def run_folder(self, name, model):
        """A finished run whose model's record is ``model``."""
        folder = self.folder / "home" / "runs" / name
        (folder / "model").mkdir(parents=True)
        status = {"verb": "finetune", "state": "finished", "heartbeat": time.time(), "host": "there", "pid": 1}
        (folder / "status.json").write_text(json.dumps(status), encoding="utf-8")
        (folder / "config.json").write_text(json.dumps({"verb": "finetune"}), encoding="utf-8")
        (folder / "model" / "model.json").write_text(model, encoding="utf-8")
        return folder

    def test_a_run_with_a_spoiled_model_hides_neither_the_panel_nor_the_other_runs(self):
        spoiled = ('{"id"', "[]", "{}", '{"schema": []}')
        for number, model in enumerate(spoiled):
            self.run_folder(f"spoiled-{number}", model)
        good = self.run_folder("good", json.dumps(model_record("good-1", schema="")))
        panel = self.open_panel("VoxMMSDTrain")
        starts = panel.task.ui.startChoice
        titles = [starts.itemText(i) for i in range(starts.count)]
        self.assertIn("run good, pre-trained", titles)
        for number in range(len(spoiled)):
            panel.result.show(good.parent / f"spoiled-{number}")
            self.assertIsNone(panel.result.comparison)
            self.assertIn("cannot be read", panel.result.ui.noticeLabel.text)
        panel.result.show(good)
        self.assertEqual(panel.result.comparison.folder, good)
        for tab in ("Library", "Task", "Run", "Result"):
            panel.showTab(tab)
        self.assertEqual(self._faults, [])

    def test_a_library_with_a_spoiled_case_is_said_to_be_so(self):
        library = self.library(accepted=2)
        settings.write("library", str(library.folder))
        next(library.folder.glob("cases/*/case.json")).write_text("{", encoding="utf-8")
        panel = self.open_panel("VoxMMSDTrain")
        for tab in ("Library", "Task"):
            panel.showTab(tab)
        self.assertIn("is not a record", panel.library.ui.noticeLabel.text)
        self.assertIn("is not a record", panel.task.ui.dataNotice.text)
        self.assertEqual(self._faults, [])

    def test_a_library_whose_own_record_is_spoiled_leaves_the_panel_usable(self):
        library = self.library(accepted=1)
        settings.write("library", str(library.folder))
        (library.folder / "library.json").write_text("[]", encoding="utf-8")
        panel = self.open_panel("VoxMMSDTrain")
        panel.library.ui.stateFilter.setCurrentIndex(1)
        self.assertEqual(panel.library.ui.casesTable.rowCount, 0)
        self.assertIn("is not a record", panel.library.ui.noticeLabel.text)
        self.assertEqual(self._faults, [])

    def test_a_start_that_fails_at_once_may_be_tried_again(self):
        from VoxMMSDTrainLib import launch

        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.task.ui
        ui.dataPath.currentPath = str(self.phantoms())

        def missing(_child):
            raise MissingDependencyError("PythonSlicer was not found", "reinstall Slicer")

        before, launch.Child.start = launch.Child.start, missing
        self.addCleanup(setattr, launch.Child, "start", before)
        left = len(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*.json")))
        ui.startButton.click()
        self.assertEqual(len(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*.json"))), left)
        panel.library.ui.addPath.currentPath = str(self.folder / "cases")
        panel.library.ui.addButton.click()
        self.assertIn("reinstall", panel.library.ui.noticeLabel.text)
        self.assertTrue(panel.library.ui.addButton.enabled)
        self.assertIn("reinstall", ui.noticeLabel.text)
        self.assertFalse(panel.logic.is_launching)
        self.assertTrue(ui.startButton.enabled)
        self.assertEqual(self._faults, [])
