"""The circle through both modules, by their buttons: a poor model segments, an expert corrects, the model learns, and
segments a new patient better."""

import numpy as np
import train_case
from phantom_case import add_volumes, phantom

from voxmmsd.labels import MODALITIES
from voxmmsd.library import create_library
from voxmmsd.phantom import write_phantoms
from VoxMMSDLib import settings
from VoxMMSDLib.segments import label_array, set_mask

SIDE = 48
HOLDS_OUT_THE_FIRST = 11  # a seed of drawing parts


class CircleTest(train_case.TrainTest):
    def test_corrections_make_the_model_segment_a_new_patient_better(self):
        library = self.folder / "library"
        settings.write("library", str(library))
        teach, segment = self.open_panel("VoxMMSDTrain"), self.open_panel("VoxMMSDSegment")
        poor = self.taught(teach, "poor", self.phantoms(count=3, side=SIDE), steps=3, size=32)
        self.judge(teach, library)

        for seed in (31, 32, 33):
            self.segmented(segment, seed)
            self.correct_and_accept(segment, seed, library)
        before = self.dice(self.segmented(segment, 34), 34)

        self.taught(teach, "better", library, steps=150, size=32)
        curves = [teach.run.ui.curveChoice.itemText(i) for i in range(teach.run.ui.curveChoice.count)]
        self.assertEqual(curves[:2], ["Validation Dice", "Losses"])
        compared = teach.result.comparison
        self.assertEqual((compared.old, [case.unfair for case in compared.cases]), (poor, [""]))
        self.assertGreater(compared.regions["WT"][1], compared.regions["WT"][0])
        self.assertIn(compared.text, teach.result.ui.detailLabel.text)
        after = self.dice(self.segmented(segment, 34), 34)
        self.assertGreater(after, before)

    def taught(self, panel, name, cases, **options):
        """Train from the tab Task on the model in use, if there is one, and accept the result; its id."""
        self.train(panel, name, cases, **options)
        panel.result.ui.acceptButton.click()
        self.wait_for_work(panel)
        self.assertIn("is in use from now on", panel.result.ui.noticeLabel.text)
        return panel.result.comparison.model

    def judge(self, panel, library):
        """A held-out patient with an expert's label enters the library by the button Add."""
        create_library(library, seed=HOLDS_OUT_THE_FIRST)
        write_phantoms(self.folder / "judge", 1, seed=41, side=SIDE)
        ui = panel.library.ui
        ui.addPath.currentPath = str(self.folder / "judge")
        ui.addButton.click()
        self.wait_for(lambda: ui.casesTable.rowCount == 1)
        self.assertEqual(ui.casesTable.item(0, 2).text(), "hold-out")

    def segmented(self, panel, seed):
        """Press Apply on a phantom; the result."""
        volumes = add_volumes(phantom(seed, SIDE), prefix=f"patient{seed}")
        for key in MODALITIES:
            setattr(panel.parameters, key, volumes[key])
        panel.segment_tab.look_now()
        panel.ui.applyButton.click()
        self.wait_for(lambda: panel.segment_tab.job is None)
        self.assertIsNotNone(panel.parameters.result, panel.ui.errorLabel.text)
        return panel.parameters.result, volumes["t1c"]

    def correct_and_accept(self, panel, seed, library):
        """Draw the true tumor into the result, as an expert would."""
        truth = phantom(seed, SIDE)
        for label in truth.schema.labels:
            set_mask(panel.parameters.result, label.key, truth.label_zyx == label.value, panel.parameters.t1c)
        panel.ui.libraryPath.currentPath = str(library)
        panel.ui.caseEdit.text = f"patient-{seed:03d}"
        panel.ui.acceptButton.click()
        self.wait_for(lambda: panel.review_tab.accepting is None)
        self.assertIn("Accepted as label", panel.ui.acceptedLabel.text)

    def dice(self, result, seed):
        """Of the whole tumor."""
        predicted, truth = label_array(*result) > 0, phantom(seed, SIDE).label_zyx > 0
        return 2 * np.count_nonzero(predicted & truth) / (np.count_nonzero(predicted) + np.count_nonzero(truth))
