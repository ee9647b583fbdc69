"""Training on another machine: a job is exported, run by its one command, watched and imported; all by the panel."""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import slicer
import train_case

from voxmmsd.files import write_json_atomic
from VoxMMSDLib import settings


class TrainElsewhereTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("TrainDevice", "cpu")

    @unittest.skipIf(shutil.which("bash") is None, "the job's command is a bash script")
    def test_a_job_on_a_library_runs_by_its_one_command_comes_back_and_is_imported(self):
        from voxmmsd.models.registry import list_models, resolve_model

        old = self.model_in_use()
        self.library(accepted=3)
        panel = self.open_panel("VoxMMSDTrain")
        self.export(panel, self.folder / "job")
        shutil.move(self.folder / "library", self.folder / "library-of-the-clinic")
        on_the_server = shutil.move(self.folder / "job", self.folder / "server")
        self.run_command(on_the_server)
        back = Path(shutil.move(on_the_server, self.folder / "back"))

        panel.run.ui.runsFolder.currentPath = str(back)
        self.assertEqual(panel.run.ui.runsTable.item(0, 2).text(), "finished")
        panel.showTab("Result")
        result = panel.result.ui
        self.assertEqual(panel.result.comparison.old, old)
        self.assertEqual(result.casesTable.rowCount, 1)
        result.casesTable.selectRow(0)
        result.openButton.click()  # from the copy of the library that travelled along
        self.wait_for_work(panel)
        self.assertIn("both models", result.casesNotice.text)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 3)

        known = len(list_models())
        result.importButton.click()
        self.wait_for_work(panel)
        self.assertIn("No model is chosen", result.importNotice.text)
        asked = self.answer(False)
        result.importPath.currentPath = str(back / "run")
        result.importButton.click()
        self.wait_for_work(panel)
        self.assertIn("Use it for segmentation", asked[0])
        self.assertIn("is in the registry", result.importNotice.text)
        self.assertEqual(resolve_model().info.id, old)
        self.assertEqual(len(list_models()), known + 1)
        panel.showTab("Task")
        starts = panel.task.ui.startChoice
        titles = [starts.itemText(i) for i in range(starts.count)]
        self.assertIn(panel.result.comparison.model, titles)
        self.assertNotIn("run run", titles)  # the same model is not offered twice
        self.answer(True)
        result.importButton.click()
        self.wait_for_work(panel)
        self.assertIn("in use from now on", result.importNotice.text)
        self.assertEqual(resolve_model().info.id, panel.result.comparison.model)

    def test_a_run_of_another_host_is_shown_by_its_heartbeat_and_asked_through_its_folder(self):
        run = self.folder / "share" / "on-the-server"
        status = {"verb": "pretrain", "state": "running", "step": 40, "total": 100, "host": "gpu-7", "pid": 1}
        write_json_atomic(run / "status.json", {**status, "heartbeat": time.time(), "seconds_left": 90})
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.run.ui
        self.assertTrue(ui.progressBar.isHidden())
        ui.runsFolder.currentPath = str(run.parent)
        ui.runsTable.selectRow(0)
        self.assertEqual(ui.stateLabel.text, "on-the-server: running on gpu-7; step 40 of 100, 1 min 30 s left")
        self.assertEqual((ui.progressBar.value, ui.progressBar.maximum), (40, 100))
        self.assertFalse(ui.progressBar.isHidden())
        self.assertTrue(ui.pauseButton.enabled and ui.cancelButton.enabled and not ui.resumeButton.enabled)
        ui.pauseButton.click()
        self.assertEqual(json.loads((run / "control.json").read_text(encoding="utf-8"))["request"], "pause")

        write_json_atomic(run / "status.json", {**status, "heartbeat": time.time() - 3600})
        panel.run.look()
        self.assertIn("interrupted, no response since", ui.stateLabel.text)
        self.assertIn("Check gpu-7 first", ui.noticeLabel.text)
        self.assertTrue(ui.resumeButton.enabled and not ui.pauseButton.enabled)
        self.assertEqual(ui.runsTable.item(0, 2).text(), "interrupted")

        write_json_atomic(run / "status.json", {**status, "step": 55, "heartbeat": time.time()})
        panel.run.look()  # it was the network
        self.assertIn("running on gpu-7; step 55 of 100", ui.stateLabel.text)
        self.assertTrue(ui.noticeLabel.isHidden())

    def export(self, panel, job):
        """Fill the tab Task with a trial that corrects the model in use, and press Export job."""
        ui = panel.task.ui
        ui.dataPath.currentPath = str(self.folder / "library")
        ui.presetChoice.setCurrentIndex(3)
        ui.startChoice.setCurrentIndex(0)
        ui.stepsBox.setValue(2)
        ui.sizeBox.setValue(16)
        ui.batchBox.setValue(1)
        ui.nameEdit.text = "from-the-server"
        ui.exportPath.currentPath = str(job)
        ui.exportButton.click()
        self.wait_for(lambda: ui.exportButton.enabled)
        self.assertIn("start.sh", ui.noticeLabel.text)

    def run_command(self, job):
        """``start.sh`` on a machine that has the packages and nothing else of ours."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["VOXMMSD_HOME"] = str(self.folder / "home-of-the-server")
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        done = subprocess.run(
            ["bash", str(Path(job) / "start.sh")],
            env=environment,
            cwd="/",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
