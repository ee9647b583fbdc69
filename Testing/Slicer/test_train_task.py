"""The tab Task: presets fill the form, the estimate is measured, a job is packed, a start goes to the tab Run."""

import json

import train_case

from VoxMMSDLib import settings
from VoxMMSDTrainLib.task import estimate_in_words


class TrainTaskTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        for key in ("library", "TrainDatafinetune", "TrainDatapretrain"):
            settings.write(key, "")
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
        self.assertIn("teach a first model", ui.dataNotice.text)
        first = self.train(panel, "first", self.folder / "library", steps=3)
        result = panel.result.ui
        self.assertIn("was compared with no other model", result.verdictLabel.text)
        self.assertIn("1 hold-out cases", result.detailLabel.text)
        self.assertEqual(panel.library.ui.casesTable.item(0, 3).text(), "run first")
        result.acceptButton.click()
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

    def choose_trial(self, panel):
        ui = panel.task.ui
        ui.dataPath.currentPath = str(self.phantoms())
        ui.presetChoice.setCurrentIndex(3)
        ui.startChoice.setCurrentIndex(ui.startChoice.count - 1)
        ui.stepsBox.setValue(3)
        ui.sizeBox.setValue(16)
        ui.batchBox.setValue(1)
        ui.nameEdit.text = "trial"
