"""The tab Run: real child processes, followed, paused, resumed, canceled and found again."""

from unittest import mock

import qt
import slicer
import train_case

from voxmmsd.runs import view_run
from voxmmsd.runs.following import Preview
from VoxMMSDLib import child


class TrainRunTest(train_case.TrainTest):
    def test_a_run_is_started_and_followed_to_its_end(self):
        panel = self.open_panel("VoxMMSDTrain")
        folder = self.start(panel)
        self.wait_for_state(folder, "finished")
        self.wait_for(lambda: not panel.logic.is_launching)
        panel.run.look()
        ui = panel.run.ui
        ui.curveChoice.setCurrentIndex(0)
        self.assertIn("finished", ui.stateLabel.text)
        self.assertEqual((ui.progressBar.value, ui.progressBar.maximum), (6, 6))
        self.assertEqual(ui.curveChoice.currentText, "Validation Dice")
        chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        self.assertEqual(chart.GetNumberOfPlotSeriesNodes(), 4)  # three regions and their mean
        self.assertFalse(chart.GetSaveWithScene() or not chart.GetHideFromEditors())
        self.assertIn(" WT <b>", ui.legendLabel.text)
        self.assertIn("step 6 (2 of 2)", ui.previewCaption.text)
        ui.earlierButton.click()
        self.assertIn("step 3 (1 of 2)", ui.previewCaption.text)
        self.assertIn("cases:", ui.logText.plainText)
        self.assertFalse(ui.pauseButton.enabled or ui.resumeButton.enabled or ui.cancelButton.enabled)

    def test_a_start_that_is_on_its_way_when_the_panel_goes_is_left_alone(self):
        """On Windows a kill takes along all that was started, the run too."""
        panel = self.open_panel("VoxMMSDTrain")
        with mock.patch.object(child, "end_group") as kill:
            folder = self.start(panel)
            starting = panel.logic._launches[0]._child._process
            self.wait_for((folder / "status.json").is_file)
            panel.logic.cleanup()
        kill.assert_not_called()
        self.wait_for_state(folder, "finished")
        self.wait_for(lambda: starting.returncode is not None, 60)  # nobody asks it: no zombie is left

    def test_a_picture_is_as_sharp_as_the_screen(self):
        from VoxMMSDTrainLib.preview import WIDTH, fitted

        for ratio in (1.0, 1.5, 2.0):
            picture = fitted(qt.QPixmap(900, 300), ratio)
            self.assertEqual((picture.width(), picture.devicePixelRatio()), (WIDTH * ratio, ratio))

    def test_a_run_is_paused_resumed_and_canceled_by_its_buttons(self):
        panel = self.open_panel("VoxMMSDTrain")
        folder = self.start(panel, steps=5000, validate_every=5000)
        ui = panel.run.ui
        self.wait_for(lambda: ui.pauseButton.enabled and view_run(folder).step > 0)
        ui.pauseButton.click()
        self.wait_for(lambda: "paused" in ui.stateLabel.text)
        step = view_run(folder).step
        self.assertTrue(ui.resumeButton.enabled and not ui.pauseButton.enabled)
        ui.resumeButton.click()
        self.wait_for(lambda: ui.pauseButton.enabled and view_run(folder).step > step)
        ui.cancelButton.click()
        self.wait_for(lambda: "canceled" in ui.stateLabel.text)
        self.assertEqual(len(view_run(folder).starts), 2)

    def test_the_newest_picture_is_shown_until_one_goes_back_and_again_when_one_is_at_the_end(self):
        run = self.open_panel("VoxMMSDTrain").run
        pictures = [Preview(step, self.folder / f"step-{step}.png") for step in range(1, 6)]
        captions = []
        for count, press in ((2, run.ui.earlierButton), (3, run.ui.laterButton), (3, run.ui.laterButton), (5, None)):
            run._previews.show(pictures[:count])
            captions.append(run.ui.previewCaption.text)
            if press is not None:
                press.click()
        self.assertEqual(captions, ["step 2 (2 of 2)", "step 1 (1 of 3)", "step 2 (2 of 3)", "step 5 (5 of 5)"])

    def test_a_start_that_fails_says_why(self):
        panel = self.open_panel("VoxMMSDTrain")
        folder = panel.run.folder / "trial"
        panel.logic.start("finetune", {"folders": [str(self.folder / "nowhere")]}, folder, panel.run.started)
        self.wait_for(lambda: not panel.logic.is_launching)
        self.assertIn("no such file or folder", panel.run.ui.noticeLabel.text)
