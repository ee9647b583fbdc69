"""Pre-training by the panel's buttons, with a real child process: curves, pictures, pause, resume, cancel, and what
its network is good for."""

import json

import slicer
import train_case

from voxmmsd.config import make_config
from voxmmsd.runs import view_run
from voxmmsd.training_config import PretrainConfig
from VoxMMSDLib import settings


class TrainPretrainingTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("TrainDevice", "cpu")

    def test_scans_are_learned_from_watched_paused_resumed_and_canceled(self):
        panel = self.open_panel("VoxMMSDTrain")
        folder = self.press_start(panel, "scans", steps=100_000)
        ui = panel.run.ui
        self.wait_for(lambda: view_run(folder).step >= 10 and ui.curveChoice.count >= 2)
        self.assertEqual(
            [ui.curveChoice.itemText(i) for i in range(2)],
            ["Losses", "Restoration error"],
        )
        ui.curveChoice.setCurrentIndex(0)
        self.assertIn("restoration <b>", ui.legendLabel.text)
        self.assertIn("distillation <b>", ui.legendLabel.text)
        ui.curveChoice.setCurrentIndex(1)
        chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        self.assertEqual(chart.GetNumberOfPlotSeriesNodes(), 2)  # what it restores, and what guessing the mean would
        self.look_at_the_picture(ui, folder)

        ui.pauseButton.click()
        self.wait_for(lambda: "paused" in ui.stateLabel.text)
        step = view_run(folder).step
        self.assertTrue(ui.resumeButton.enabled and ui.cancelButton.enabled and not ui.pauseButton.enabled)
        ui.resumeButton.click()
        self.wait_for(lambda: ui.pauseButton.enabled and view_run(folder).step > step)
        self.wait_for(lambda: f"continuing at step {step}" in ui.logText.plainText)
        ui.cancelButton.click()
        self.wait_for(lambda: "canceled" in ui.stateLabel.text)
        self.assertFalse(ui.pauseButton.enabled or ui.cancelButton.enabled)

    def test_a_pretrained_network_is_no_result_to_accept_but_a_start_for_fine_tuning(self):
        panel = self.open_panel("VoxMMSDTrain")
        folder = self.press_start(panel, "scans", steps=2)
        self.wait_for_state(folder, "finished")
        self.wait_for(lambda: panel.result.comparison is not None)
        self.assertIn("cannot segment yet", panel.result.ui.verdictLabel.text)
        self.assertFalse(panel.result.ui.acceptButton.enabled)
        self.library(accepted=2, seed=8)
        task = panel.task.ui
        task.taskChoice.setCurrentIndex(0)
        task.dataPath.currentPath = str(self.folder / "library")
        task.startChoice.setCurrentIndex(0)
        task.presetChoice.setCurrentIndex(1)
        self.assertEqual(task.startChoice.currentText, "run scans, pre-trained")
        self.assertEqual(task.stepsBox.value, 4000)  # its head has learned nothing yet
        first = self.train(panel, "first", self.folder / "library", steps=2)
        model = json.loads((first / "model" / "model.json").read_text(encoding="utf-8"))
        self.assertIn("took ", model["training"]["start"])
        self.assertIn("hold-out", model["scores"])

    def press_start(self, panel, name, steps):
        """Fill the tab Task with a pre-training of phantoms, and press Start; the run, which the test's end ends."""
        scans = self.phantoms()
        ui = panel.task.ui
        ui.taskChoice.setCurrentIndex(1)
        ui.dataPath.currentPath = str(scans)
        ui.presetChoice.setCurrentIndex(3)
        ui.stepsBox.setValue(steps)
        ui.sizeBox.setValue(16)
        ui.batchBox.setValue(1)
        ui.nameEdit.text = name
        given = {"preset": "tiny", "block": 16, "mask_size": 4, "pairs": 16, "preview_every": 5}
        panel.task.more_options.show(make_config(PretrainConfig, given))
        folder = panel.run.folder / name
        self.ends_with_the_test(folder)
        ui.startButton.click()
        self.assertIn("Starting", ui.noticeLabel.text)
        self.wait_for(lambda: panel.run.follower is not None and panel.run.follower.folder == folder)
        self.assertEqual(panel.ui.tabs.currentIndex, 2)
        return folder

    def look_at_the_picture(self, ui, folder):
        """Its columns: what is left of a block under the mask, its restoration, the truth."""
        import matplotlib.image
        import numpy as np

        self.assertFalse(ui.previewBox.isHidden())
        self.assertFalse(ui.previewImage.pixmap.isNull())
        self.assertRegex(ui.previewCaption.text, r"step \d+ \(\d+ of \d+\)")
        picture = matplotlib.image.imread(sorted((folder / "previews").glob("step-*.png"))[0])[..., :3]
        seen, _restored, truth = np.array_split(picture.mean(axis=2), 3, axis=1)
        self.assertGreater((seen < 0.05).mean(), (truth < 0.05).mean())  # seven of eight cells are masked
