"""A result whose necrosis is to be carried as enhancing tumor: for the tests of *Carry my edits through the volume*."""

from pathlib import Path

import numpy as np
import slicer
import slicer_case
from phantom_case import TOY_MODEL, add_result, add_volumes, paint, phantom
from slicer_case import wait_until

from VoxMMSDLib.segments import label_array, mask_of
from VoxMMSDSegmentLib.rounds import round_number

NCR, ED, ET = 1, 2, 3


class CarryCase(slicer_case.ModuleTest):
    """A result whose necrosis is wrong, in the reader's eyes: it should be called enhancing."""

    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.volumes = add_volumes(self.made)
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.box = self.panel.ui, self.panel.review_tab.carry
        self.panel.segment_tab.models.import_file(TOY_MODEL)
        self.result = add_result(self.made, self.volumes, self.folder)
        self.panel.parameters.result = self.result
        self.true = self.made.label_zyx
        self.slice = int((self.true == NCR).sum(axis=(1, 2)).argmax())

    def labels(self):
        return label_array(self.result, self.volumes["t1c"])

    def settled(self):
        wait_until(lambda: not self.panel.review_tab._timer.isActive() and not self.box.is_looking)

    def correct_slice(self, z=None):
        """Paint the slice's necrosis with enhancing tumor, as the segment editor's Paint does."""
        mask = np.zeros(self.true.shape, bool)
        z = self.slice if z is None else z
        mask[z] = self.true[z] == NCR
        self.ui.segmentEditor.saveStateForUndo()
        paint(self.result, "ET", mask, self.volumes["t1c"])
        self.settled()
        return mask

    def carry(self):
        self.assertTrue(self.ui.carryButton.enabled, self.ui.carryButton.toolTip)
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job is None)
        self.settled()

    def carried(self):
        """Correct a slice and carry it; the labels before and after."""
        self.correct_slice()
        before = self.labels()
        self.carry()
        self.assertEqual(round_number(self.result), 1, self.ui.carryLabel.text)
        return before, self.labels()

    def left_behind(self):
        return [file.name for folder in Path(slicer.app.temporaryPath).glob("voxmmsd-*") for file in folder.rglob("*")]


def label_of(node, made, reference):
    """Label values of a segmentation that knows no schema."""
    labels = np.zeros(made.label_zyx.shape, np.uint8)
    for label in made.schema.labels:
        labels[mask_of(node, [label.key], reference)] = label.value
    return labels
