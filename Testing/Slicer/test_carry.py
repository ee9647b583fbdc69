"""*Carry my edits through the volume*: a slice is corrected by hand, the rest of the case follows, beside Slicer."""

import carry_case
import numpy as np
import slicer
import slicer_case
from carry_case import ED, ET, NCR, label_of
from phantom_case import PLACES, add_result, paint
from slicer_case import wait_until

from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.library import open_library
from VoxMMSDLib.standby import STANDBY
from VoxMMSDSegmentLib.rounds import BEFORE, base_of, round_number


class CarryTest(carry_case.CarryCase):
    """What is carried, what is shown of it and what the library is told."""

    def test_a_corrected_slice_is_carried_and_undo_and_redo_are_one_step(self):
        before, after = self.carried()
        self.assertTrue(np.array_equal(after[self.slice], before[self.slice]))
        elsewhere = np.arange(len(after)) != self.slice
        was_necrosis = (self.true == NCR) & elsewhere[:, None, None]
        self.assertGreater((after[was_necrosis] == ET).mean(), 0.7)
        self.assertIn("Carried to", self.ui.carriedLabel.text)
        self.assertIn("Necrotic core", self.ui.carriedLabel.text)
        self.ui.segmentEditor.undo()
        self.assertTrue(np.array_equal(self.labels(), before))
        self.settled()
        self.assertEqual((round_number(self.result), self.ui.carriedLabel.text), (0, ""))
        self.assertIn("one corrected slice", self.ui.carryButton.toolTip)
        self.ui.segmentEditor.redo()
        self.settled()
        self.assertTrue(np.array_equal(self.labels(), after))
        self.assertIn("Carried to", self.ui.carriedLabel.text)
        self.assertFalse(self.ui.carryButton.enabled)

    def test_the_button_is_off_without_edits_and_says_what_counts_as_edited(self):
        self.settled()
        self.assertFalse(self.ui.carryButton.enabled)
        self.assertIn("Correct the result first", self.ui.carryButton.toolTip)
        mask = self.correct_slice()
        self.assertTrue(self.ui.carryButton.enabled)
        self.assertIn(f"one corrected slice ({mask.sum()} voxels)", self.ui.carryButton.toolTip)
        self.correct_slice(self.slice + 2)
        self.assertIn("2 corrected slices", self.ui.carryButton.toolTip)
        z, y, x = np.ogrid[tuple(slice(0, n) for n in self.true.shape)]
        for center in (6, 40):
            paint(self.result, "ED", (z - center) ** 2 + (y - 6) ** 2 + (x - 6) ** 2 <= 9, self.volumes["t1c"])
        self.settled()
        self.assertRegex(self.ui.carryButton.toolTip, r"count as \d strokes")
        for _ in range(2):
            self.ui.segmentEditor.undo()
        self.settled()
        self.assertFalse(self.ui.carryButton.enabled)

    def test_a_second_carry_builds_on_all_edits_and_computes_no_features_again(self):
        self.carried()
        folder = self.panel.logic.case_folders.of(self.result)
        features = folder.features.stat().st_mtime_ns
        self.assertEqual(sorted(self.left_behind()), ["features.npz"])
        far = np.zeros(self.true.shape, bool)
        far[3:6, 3:6, 3:6] = True
        paint(self.result, "ED", far, self.volumes["t1c"])
        self.settled()
        self.assertIn("one corrected slice and one stroke", self.ui.carryButton.toolTip)
        self.carry()
        self.assertEqual((round_number(self.result), self.ui.carryLabel.text), (2, ""))
        self.assertEqual(folder.features.stat().st_mtime_ns, features)
        self.assertTrue((self.labels()[far] == ED).all())
        base = base_of(self.result, self.volumes["t1c"])
        self.assertEqual(base.refined.round, 2)
        by_hand = far.copy()
        by_hand[self.slice] |= self.true[self.slice] == NCR
        self.assertTrue(np.array_equal(base.origin == 1, by_hand))
        self.assertTrue((self.labels()[self.slice][self.true[self.slice] == NCR] == ET).all())

    def test_before_and_after_are_shown_in_turn_and_painting_shows_after(self):
        self.assertFalse(self.ui.shownFrame.isVisibleTo(self.ui.correctSection))
        before, after = self.carried()
        self.assertTrue(self.ui.shownFrame.isVisibleTo(self.ui.correctSection))
        node = self.result.GetNodeReference(BEFORE)
        self.assertTrue(np.array_equal(label_of(node, self.made, self.volumes["t1c"]), before))

        def shown():
            return [bool(one.GetDisplayNode().GetVisibility() and one.GetDisplayNode().GetVisibility2D())
                    for one in (node, self.result)]  # fmt: skip

        self.assertIn(node.GetID(), self.ui.brainMaskSelector.sortFilterProxyModel().hiddenNodeIDs)
        self.assertEqual(shown(), [False, True])
        self.ui.beforeButton.click()
        self.assertEqual((shown(), self.ui.afterButton.checked), ([True, False], False))
        self.ui.afterButton.click()
        self.assertEqual(shown(), [False, True])
        self.assertTrue(np.array_equal(self.labels(), after))
        for leave in (self.panel.exit, self.ui.segmentEditor.undo):
            self.ui.beforeButton.click()
            leave()
            self.settled()
            self.assertEqual((shown(), self.ui.afterButton.checked), ([False, True], True))

    def test_what_changed_is_listed_among_the_places_to_check_until_it_is_undone(self):
        self.settled()
        places = self.result.GetNodeReference("VoxMMSD.Places")
        at_first = [places.GetNthControlPointLabel(i) for i in range(places.GetNumberOfControlPoints())]
        before, after = self.carried()
        changed = before != after
        texts = [places.GetNthControlPointLabel(i) for i in range(places.GetNumberOfControlPoints())]
        self.assertTrue(texts[0].startswith("1: changed: "), texts)
        firsts = texts[:2]  # two regions of one size, whose order is a matter of rounding
        self.assertTrue(any("changed: Enhancing tumor, was Necrotic core" in text for text in firsts), texts)
        self.assertEqual(len(texts), len([text for text in texts if "changed" in text]) + len(PLACES))
        self.assertIn("Enhancing tumor or not tumor", texts[-2])
        position = np.linalg.solve(self.made.grid.affine_xyz, [*places.GetNthControlPointPosition(0), 1])[:3]
        x, y, z = np.rint(position).astype(int)
        self.assertTrue(changed[z, y, x])
        self.ui.segmentEditor.undo()
        self.settled()
        self.assertEqual(
            [places.GetNthControlPointLabel(i) for i in range(places.GetNumberOfControlPoints())], at_first
        )

    def test_a_result_without_doubtful_places_gets_a_list_of_what_changed(self):
        self.result = add_result(self.made, self.volumes, self.folder, review=[])
        self.panel.parameters.result = self.result
        self.carried()
        self.assertTrue(self.ui.nextPlaceButton.enabled)
        places = self.result.GetNodeReference("VoxMMSD.Places")
        self.assertIn("changed", places.GetNthControlPointLabel(0))

    @slicer_case.needs_main_window
    def test_no_view_moves_when_edits_are_carried(self):
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        red.JumpSlice(1, 2, 3)
        self.carried()
        self.assertAlmostEqual(red.GetSliceToRAS().GetElement(2, 3), 3)

    def test_a_completed_tissue_and_a_hidden_one_that_is_spared_neither_gain_nor_lose(self):
        logic = slicer.modules.segmentations.logic()
        self.correct_slice()
        segmentation = self.result.GetSegmentation()
        logic.SetSegmentStatus(segmentation.GetSegment("NCR"), logic.Completed)
        self.result.GetDisplayNode().SetSegmentVisibility("ED", False)
        before = self.labels()
        self.carry()
        self.assertTrue(np.array_equal(self.labels() == NCR, before == NCR))
        self.assertIn("Left unchanged: Necrotic core.", self.ui.carriedLabel.text)
        editor = self.ui.segmentEditor.mrmlSegmentEditorNode()
        editor.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments)
        self.assertEqual(self.box._locked(), ["NCR", "ED"])

    def test_what_is_painted_while_it_is_computed_stays(self):
        self.correct_slice()
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job.child is not None)
        far = np.zeros(self.true.shape, bool)
        far[3:6, 3:6, 3:6] = True
        paint(self.result, "ED", far, self.volumes["t1c"])
        z = self.slice + 1
        necrosis = self.true[z] == NCR
        back = np.zeros(self.true.shape, bool)
        back[z] = necrosis
        paint(self.result, "ED", back, self.volumes["t1c"])
        wait_until(lambda: self.box.job is None)
        self.settled()
        after = self.labels()
        self.assertTrue((after[far | back] == ED).all())
        self.assertGreater((after[self.slice - 1][self.true[self.slice - 1] == NCR] == ET).mean(), 0.5)
        self.assertTrue(self.ui.carryButton.enabled)

    def test_the_library_is_told_who_decided_each_voxel_also_of_those_edited_after_the_carry(self):
        painted = np.zeros(self.true.shape, bool)
        painted[self.slice] = self.true[self.slice] == NCR
        before, after = self.carried()
        late = np.zeros(self.true.shape, bool)
        late[3:6, 3:6, 3:6] = True
        paint(self.result, "ED", late, self.volumes["t1c"])
        version = self.panel.logic.accept(self.result, self.folder / "library", "site1-007")
        case = open_library(self.folder / "library").case("site1-007")
        origin = read_volume(Source(case.origins_file(version))).array
        self.assertTrue(np.array_equal(origin == 1, painted | late))
        self.assertTrue((origin[(after != before) & ~late] == 2).all())
        self.assertEqual(version.origins.voxels["carried"], int((origin == 2).sum()))

    def test_labels_that_were_only_painted_are_the_models_and_the_hands(self):
        painted = self.correct_slice()
        version = self.panel.logic.accept(self.result, self.folder / "library", "site1-007")
        self.assertEqual((version.origins.voxels["edited"], version.origins.voxels["carried"]), (painted.sum(), 0))

    def test_a_process_is_started_ahead_while_the_user_paints_and_the_carry_takes_it(self):
        self.settled()
        self.assertIsNone(STANDBY.pid)
        self.correct_slice()
        ahead = STANDBY.pid
        self.assertIsNotNone(ahead)
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job.child is not None)
        self.assertEqual(self.box.job.child._process.pid, ahead)
        wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertEqual((round_number(self.result), self.ui.carryLabel.text), (1, ""))
        self.assertIsNone(STANDBY.pid)  # until the next edit
