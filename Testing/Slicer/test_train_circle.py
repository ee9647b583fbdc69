"""Once around in the training module by its buttons: a first model, corrections, a second model, decisions."""

import json
import shutil
from dataclasses import replace

import slicer
import train_case

from voxmmsd.files import write_json_atomic
from VoxMMSDLib import settings
from VoxMMSDLib.tables import chosen_row
from VoxMMSDTrainLib.curves import square


class TrainCircleTest(train_case.TrainTest):
    def test_from_cases_to_an_accepted_model_and_back(self):
        settings.write("library", str(self.folder / "library"))
        panel = self.open_panel("VoxMMSDTrain")
        self.assertEqual(panel.result.ui.verdictLabel.text, "No finished run yet.")

        first = self.train(panel, "first", self.phantoms(count=2), steps=3)
        result = panel.result.ui
        self.assertIn("was not compared with another model", result.verdictLabel.text)
        result.acceptButton.click()
        self.wait_for_work(panel)
        self.assertIn("is in use from now on", result.noticeLabel.text)
        self.assertFalse(result.acceptButton.enabled)

        self.library_of_new_cases()
        second = self.train(panel, "second", self.folder / "library", steps=3)
        record = json.loads((second / "comparison.json").read_text(encoding="utf-8"))
        self.assertEqual(panel.result.comparison.folder, second)
        self.assertIn(record["text"], result.detailLabel.text)
        self.assertEqual(result.noticeLabel.text, "")  # what was said of the first is not said of the second
        runs = panel.run.ui.runsTable
        self.assertEqual(runs.item(chosen_row(runs), 0).text(), "second")
        panel.run.follow(first)
        self.assertEqual(runs.item(chosen_row(runs), 0).text(), "first")
        self.assertEqual(result.casesTable.rowCount, 1)
        result.casesTable.selectRow(0)
        result.openButton.click()
        self.assertFalse(result.openButton.enabled)
        self.wait_for_work(panel)
        self.assertIn("both models", result.casesNotice.text)  # beside the button, whatever is scrolled away
        self.tell_three_apart(result)

        worse = self.told_to_be_worse(second)
        panel.result.show(worse)
        self.assertEqual(result.verdictLabel.text, "The new model is worse.")
        self.assertIn("left to right: WT, TC", result.plotLabel.text)
        before = panel.result.comparison
        panel.result.comparison = replace(before, regions={"WT": (None, 0.4)})
        panel.result.redraw()
        self.assertEqual(result.plotLabel.text.count(square(1)), 1)  # the new model's color, also where it is alone
        self.assertNotIn(square(0), result.plotLabel.text)
        panel.result.comparison = before
        self.assertFalse(result.acceptButton.enabled)
        result.rejectButton.click()
        self.assertIn("rejected", result.usedLabel.text)
        self.assertIn("first", result.usedLabel.text)
        result.forceBox.click()
        result.acceptButton.click()
        self.wait_for_work(panel)
        self.assertIn("worse", result.usedLabel.text)
        result.rollBackButton.click()
        self.assertIn(f"in use: <b>{first.name}", result.usedLabel.text)

        self.assertEqual(panel.library.ui.casesTable.item(0, 3).text(), "worse-1, run second")  # what learned from it

    def tell_three_apart(self, result):
        """The two models' segmentations and the expert's, of one case."""
        titles = [result.shownChoice.itemText(i) for i in range(result.shownChoice.count)]
        self.assertEqual(titles, ["all, as outlines", "old model", "new model", "expert"])
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        displays = [node.GetDisplayNode() for node in nodes]
        self.assertEqual([display.GetVisibility2DFill() for display in displays], [0, 0, 0])
        self.assertEqual(len({tuple(display.GetSegmentOverrideColor("ED")) for display in displays}), 3)
        result.shownChoice.setCurrentIndex(2)
        self.assertEqual([display.GetVisibility() for display in displays], [0, 1, 0])

    def library_of_new_cases(self):
        """Cases that the first model did not learn from: one trains, one judges."""
        shutil.rmtree(self.folder / "cases")
        self.library(accepted=2, seed=8)

    def told_to_be_worse(self, run):
        """A copy of a run whose model was found worse than its parent."""
        copy = run.with_name("worse")
        shutil.copytree(run, copy)
        for file in (copy / "comparison.json", copy / "model" / "model.json"):
            record = json.loads(file.read_text(encoding="utf-8"))
            told = record if file.name == "comparison.json" else record["training"]["comparison"]
            told["outcome"], told["regions"] = "worse", {"WT": [0.5, 0.4], "TC": [0.3, 0.2]}
            if "id" in record:
                record["id"] = "worse-1"
            write_json_atomic(file, record)
        return copy
