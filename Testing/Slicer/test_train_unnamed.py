"""Choosing between two segmentations without knowing whose they are."""

import slicer
import train_case

from voxmmsd.files import write_json_atomic
from voxmmsd.library.blinded import offer_pair, pairs


class TrainUnnamedTest(train_case.TrainTest):
    def test_a_choice_is_written_down_and_only_then_named(self):
        library = self.library(predicted=1)
        case = library.case("phantom-007-000")
        label = library.read_label(case, case.newest)
        emptied = type(label)(0 * label.array, label.grid)
        offer_pair(library, case.id, {"old-1": label, "new-1": emptied}, case.newest.schema)
        panel = self.open_panel("VoxMMSDTrain")
        panel.result.show(self.run_that_learned_from(library))
        ui = panel.result.ui
        self.assertFalse(ui.unnamedBox.isHidden())
        self.assertFalse(ui.firstButton.enabled)
        panel.result.unnamed.open_pair()
        names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
        self.assertEqual(names[1:], ["phantom-007-000 first", "phantom-007-000 second"])
        self.assertNotIn("old-1", ui.noticeLabel.text + "".join(names))
        ui.secondButton.click()
        (pair,) = pairs(library)
        self.assertEqual(pair.choice, "second")
        self.assertIn(pair.chosen, ui.noticeLabel.text)
        self.assertFalse(ui.secondButton.enabled)

    def run_that_learned_from(self, library):
        """A finished run whose comparison rests on no patient."""
        run = self.folder / "home" / "runs" / "taught"
        options = {"folders": [str(library.folder)]}
        write_json_atomic(run / "status.json", {"verb": "finetune", "state": "finished", "step": 1, "total": 1})
        write_json_atomic(run / "config.json", {"options": options, "directory": str(self.folder)})
        write_json_atomic(run / "model" / "model.json", {"id": "new-1", "schema": "brats-gli-2023", "scores": {}})
        told = {"old": "old-1", "outcome": "unknown", "text": "nothing can be said", "few": True, "regions": {}}
        write_json_atomic(run / "comparison.json", {**told, "cases": []})
        return run
