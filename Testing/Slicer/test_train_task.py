"""The tab Task: presets fill the form, the estimate is measured, a job is packed, a start goes to the tab Run."""

import json
import os
from pathlib import Path
from unittest import mock

import slicer
import train_case

from VoxMMSDLib import settings
from VoxMMSDLib.workplace import clear_what_was_left
from VoxMMSDTrainLib.task import estimate_in_words


class TrainTaskTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("TrainDevice", "cpu")

    def test_a_preset_fills_the_numbers_and_a_task_has_its_own(self):
        ui = self.open_panel("VoxMMSDTrain").task.ui
        self.assertEqual((ui.stepsBox.value, ui.sizeBox.value), (4000, 64))
        ui.presetChoice.setCurrentIndex(0)
        self.assertEqual(ui.stepsBox.value, 1000)
        ui.taskChoice.setCurrentIndex(1)
        self.assertEqual(ui.sizeLabel.text, "Bloc&k:")
        self.assertEqual(ui.stepsBox.value, 2500)
        self.assertTrue(ui.startChoice.isHidden())

    def test_a_library_and_no_model_yet_teach_a_first_one_from_scratch(self):
        self.library(accepted=3)
        settings.write("library", str(self.folder / "library"))
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.task.ui
        self.assertEqual(ui.dataPath.currentPath, str(self.folder / "library"))
        self.assertEqual(ui.startChoice.currentText, "from scratch")
        self.assertEqual(ui.stepsBox.value, 4000)  # nothing has learned yet: no tenth of the steps
        self.assertIn("train a first model", ui.dataNotice.text)
        first = self.train(panel, "first", self.folder / "library", steps=3)
        result = panel.result.ui
        self.assertIn("was not compared with another model", result.verdictLabel.text)
        self.assertIn("1 hold-out cases", result.detailLabel.text)
        self.assertEqual(panel.library.ui.casesTable.item(0, 3).text(), "run first")
        result.acceptButton.click()
        self.wait_for_work(panel)
        panel.showTab("Task")
        self.assertIn(
            f"{self.id_of(first)} (in use)", [ui.startChoice.itemText(i) for i in range(ui.startChoice.count)]
        )
        ui.startChoice.setCurrentIndex(0)
        ui.presetChoice.setCurrentIndex(1)
        self.assertEqual(ui.stepsBox.value, 400)

    def id_of(self, run):
        return json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))["id"]

    def test_a_trial_is_estimated_started_and_shown_in_the_tab_run(self):
        panel = self.open_panel("VoxMMSDTrain")
        self.choose_trial(panel)
        ui = panel.task.ui
        ui.estimateButton.click()
        self.assertFalse(ui.startButton.enabled)
        self.wait_for(lambda: ui.startButton.enabled)
        self.assertIn("on this CPU", ui.estimateLabel.text, ui.noticeLabel.text)
        ui.startButton.click()
        folder = panel.run.folder / "trial"
        self.wait_for_state(folder, "finished")
        self.wait_for(lambda: panel.ui.tabs.currentIndex == 2)
        self.assertEqual(json.loads((folder / "config.json").read_text(encoding="utf-8"))["options"]["steps"], 3)

    def test_a_job_is_packed_for_another_machine(self):
        panel = self.open_panel("VoxMMSDTrain")
        self.choose_trial(panel)
        ui = panel.task.ui
        ui.exportPath.currentPath = str(self.folder / "job")
        ui.exportButton.click()
        self.wait_for(lambda: ui.exportButton.enabled)
        self.assertIn("start.sh", ui.noticeLabel.text)
        self.assertTrue((self.folder / "job" / "start-torchrun.sh").is_file())

    def test_what_is_not_sensible_is_said_with_the_way_out(self):
        found = dict.fromkeys(("memory_bytes", "free_memory_bytes", "disk_bytes", "free_disk_bytes"), 1e9)
        found.update(device="cpu", seconds=3 * 86400, step_seconds=6.5, cases=9, problems=["too long"])
        text = estimate_in_words(found)
        self.assertIn("3.0 days", text)
        self.assertIn("export the job to a GPU server", text)

    def test_many_hours_are_warned_of_before_they_are_senseless(self):
        found = dict.fromkeys(("memory_bytes", "free_memory_bytes", "disk_bytes", "free_disk_bytes"), 1e9)
        found.update(device="cpu", seconds=21 * 3600, step_seconds=38.0, cases=9, problems=[])
        self.assertIn("many hours", estimate_in_words(found))
        self.assertNotIn("many hours", estimate_in_words({**found, "seconds": 3600.0}))

    def test_an_estimate_can_be_canceled_and_leaves_no_file(self):
        panel = self.open_panel("VoxMMSDTrain")
        self.choose_trial(panel)
        ui = panel.task.ui
        self.assertFalse(ui.cancelButton.enabled)
        ui.estimateButton.click()
        self.assertTrue(ui.cancelButton.enabled)
        ui.cancelButton.click()
        self.wait_for(lambda: ui.startButton.enabled)
        self.assertEqual(ui.noticeLabel.text, "Canceled.")
        self.assertEqual(self.option_files(), [])

    def test_slicer_is_closed_during_an_estimate_or_a_start_and_no_file_stays_for_good(self):
        panel = self.open_panel("VoxMMSDTrain")
        self.choose_trial(panel)
        panel.task.ui.estimateButton.click()
        panel.task.cleanup()
        self.assertEqual(self.option_files(), [])
        folder = self.folder / "home" / "runs" / "never"
        panel.logic.start("finetune", {"folders": [str(self.folder)], "steps": 1}, folder)
        self.assertEqual(len(self.option_files()), 1)
        panel.logic.cleanup()
        self.assertEqual(len(self.option_files()), 1)  # the start, which goes on, may not have read it yet
        with mock.patch("psutil.pid_exists", return_value=False):  # as for the next Slicer
            clear_what_was_left()
        self.assertEqual(self.option_files(), [])

    def test_a_field_that_is_empty_is_named_as_the_panel_names_it(self):
        ui = self.open_panel("VoxMMSDTrain").task.ui
        for button in (ui.estimateButton, ui.startButton):
            button.click()
            self.assertEqual(ui.noticeLabel.text, "No folder of cases is chosen; choose one first")
        ui.dataPath.currentPath = str(self.folder)
        ui.exportButton.click()
        self.assertIn("Choose a folder for the job", ui.noticeLabel.text)

    def option_files(self):
        return list(Path(slicer.app.temporaryPath).glob(f"voxmmsd-{os.getpid()}-*.json"))

    def choose_trial(self, panel):
        ui = panel.task.ui
        ui.dataPath.currentPath = str(self.phantoms())
        ui.presetChoice.setCurrentIndex(3)
        ui.startChoice.setCurrentIndex(ui.startChoice.count - 1)
        ui.stepsBox.setValue(3)
        ui.sizeBox.setValue(16)
        ui.batchBox.setValue(1)
        ui.nameEdit.text = "trial"
