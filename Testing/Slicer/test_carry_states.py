"""*Carry my edits through the volume*: canceled, with images, models and scenes that go, and in a saved scene."""

import json
import threading
from pathlib import Path
from unittest import mock

import carry_case
import numpy as np
import slicer
from carry_case import ED, ET, NCR
from phantom_case import TOY_MODEL, add_result, add_volumes, paint
from slicer_case import press_find, wait_until

from voxmmsd.errors import InputError, ModelError
from VoxMMSDSegmentLib import carrying
from VoxMMSDSegmentLib.result import belonging
from VoxMMSDSegmentLib.rounds import base_of, round_nodes, round_number


class CarryStatesTest(carry_case.CarryCase):
    """Nothing is half and nothing is left, whatever happens to what a carry needs."""

    def test_canceling_leaves_the_segments_and_no_file_and_a_double_click_cancels_nothing(self):
        self.correct_slice()
        before = self.labels()
        self.box._cancel_timer.setInterval(1)  # else a fast computer is done before the button comes back
        self.ui.carryButton.click()
        self.ui.carryButton.click()  # the second click of a double click
        self.assertIsNotNone(self.box.job)
        self.assertFalse(self.ui.carryButton.enabled)
        wait_until(lambda: self.ui.carryButton.enabled and self.box.job.child is not None)
        self.assertEqual(self.ui.carryButton.text, "Cancel")
        process = self.box.job.child._process
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertIsNotNone(process.poll())
        self.assertIn("Canceled", self.ui.carryLabel.text)
        self.assertTrue(np.array_equal(self.labels(), before))
        # The case's features stay where they were done before the click: the next carry reads them.
        self.assertLessEqual(set(self.left_behind()), {"features.npz"})
        self.carry()
        self.assertIn("Carried to", self.ui.carriedLabel.text)

    def test_a_stroke_that_ends_while_a_carry_is_being_applied_stays(self):
        self.correct_slice()
        is_computed, is_painted, compute = threading.Event(), threading.Event(), carrying._changes

        def computed(*arrays):
            changes = compute(*arrays)
            is_computed.set()
            is_painted.wait(60)
            return changes

        with mock.patch.object(carrying, "_changes", computed):
            self.ui.carryButton.click()
            wait_until(is_computed.is_set)
            late = (self.true == NCR) & (self.labels() == NCR)  # all that the carry would call enhancing
            paint(self.result, "ED", late, self.volumes["t1c"])
            is_painted.set()
            wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertEqual(round_number(self.result), 1, self.ui.carryLabel.text)
        self.assertTrue((self.labels()[late] == ED).all())

    def test_a_stroke_that_ends_between_two_segments_of_a_carry_stays(self):
        self.correct_slice()
        late = (self.true == NCR) & (self.labels() == NCR)
        put, puts = carrying.Frame.put, []

        def put_and_paint(frame, segment_id, part):
            put(frame, segment_id, part)
            puts.append(segment_id)
            if len(puts) == 1:
                paint(self.result, "ED", late, self.volumes["t1c"])

        with mock.patch.object(carrying.Frame, "put", put_and_paint):
            self.ui.carryButton.click()
            wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertEqual(round_number(self.result), 1, self.ui.carryLabel.text)
        self.assertEqual(puts[0], "ED")
        self.assertTrue((self.labels()[late] == ED).all())

    def test_a_segment_that_goes_between_two_segments_of_a_carry_leaves_no_hole(self):
        self.correct_slice()
        before, put = self.labels(), carrying.Frame.put

        def put_and_remove(frame, segment_id, part):
            put(frame, segment_id, part)
            self.result.GetSegmentation().RemoveSegment("ET")

        with mock.patch.object(carrying.Frame, "put", put_and_remove):
            self.ui.carryButton.click()
            wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertEqual((round_number(self.result), self.ui.carryLabel.text), (1, ""))
        holes = (self.labels() == 0) & (before != 0) & (before != ET)
        self.assertFalse(base_of(self.result, self.volumes["t1c"]).label[holes].any())  # but the carry's own

    def test_a_carry_that_fails_half_way_is_none_that_later_edits_are_of(self):
        self.correct_slice()
        put, puts = carrying.Frame.put, []

        def put_once(frame, segment_id, part):
            puts.append(segment_id)
            if len(puts) > 1:
                raise RuntimeError("no memory is left")
            put(frame, segment_id, part)

        with mock.patch.object(carrying.Frame, "put", put_once):
            self.ui.carryButton.click()
            wait_until(lambda: self.box.job is None)
        self.settled()
        self.assertEqual(len(puts), 2)
        self.assertEqual(round_number(self.result), 0)
        self.assertTrue(self.ui.carryLabel.text)

    def test_a_scene_or_a_result_that_goes_ends_the_work_and_nothing_is_left_behind(self):
        for leave in (lambda: slicer.mrmlScene.RemoveNode(self.result), slicer.mrmlScene.Clear):
            self.correct_slice()
            self.ui.carryButton.click()
            wait_until(lambda: self.box.job.child is not None)
            process = self.box.job.child._process
            leave()
            self.assertIsNone(self.box.job)
            self.assertIsNotNone(process.poll())
            wait_until(lambda: not self.panel._orphans)
            self.assertEqual(self.left_behind(), [])
            self.volumes = add_volumes(self.made)
            self.result = add_result(self.made, self.volumes, self.folder)
            self.panel.parameters.result = self.result

    def test_undo_is_named_only_while_the_editor_still_can_and_a_carry_that_another_result_stops_says_so(self):
        self.carried()
        self.assertIn("Undo reverts it", self.ui.carriedLabel.text)
        other = add_result(self.made, self.volumes, self.folder)
        self.panel.parameters.result = other
        self.panel.parameters.result = self.result
        self.settled()
        self.assertIn("Carried to", self.ui.carriedLabel.text)
        self.assertNotIn("Undo", self.ui.carriedLabel.text)
        far = np.zeros(self.true.shape, bool)
        far[3:6, 3:6, 3:6] = True
        paint(self.result, "ED", far, self.volumes["t1c"])
        self.settled()
        self.ui.carryButton.click()
        self.assertIsNotNone(self.box.job)
        self.panel.parameters.result = other
        self.assertIsNone(self.box.job)
        self.assertEqual(self.ui.carryLabel.text, "Stopped: another result was chosen.")

    def test_a_result_that_is_replaced_gets_nothing_of_a_carry_that_is_at_work(self):
        self.correct_slice()
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job.child is not None)
        tab = self.panel.segment_tab
        tab._volumes_at_start = self.volumes
        self.ui.replaceCheck.setChecked(True)
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", lambda *_, **__: True):
            tab._done(add_result(self.made, self.volumes, self.folder))
        self.assertIsNone(self.box.job)
        self.assertEqual(self.ui.carryLabel.text, "Stopped: the result was replaced.")
        wait_until(lambda: tab._showing is None)
        self.settled()
        self.assertIs(self.panel.parameters.result, self.result)
        self.assertTrue(np.array_equal(self.labels(), self.true))

    def test_the_features_go_with_the_result_and_with_the_scene(self):
        self.carried()
        owned = [node.GetID() for node in belonging(self.result)]
        self.assertEqual(len(round_nodes(self.result)), 1)
        slicer.mrmlScene.RemoveNode(self.result)
        wait_until(lambda: not self.panel._orphans)
        self.assertEqual([node_id for node_id in owned if slicer.mrmlScene.GetNodeByID(node_id)], [])
        self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])

    def test_no_edit_an_image_that_changed_or_is_gone_and_a_model_that_is_gone_are_told_in_one_sentence(self):
        logic, t2w = self.panel.logic, self.volumes["t2w"]
        with self.assertRaisesRegex(InputError, "no voxel was changed"):
            logic.carry(self.result)
        self.correct_slice()
        self.panel.segment_tab.models.import_file(TOY_MODEL)
        self.result.SetAttribute("VoxMMSD.Model", "gone-1")
        with self.assertRaisesRegex(ModelError, "gone-1"):
            logic.carry(self.result)
        self.result.SetAttribute("VoxMMSD.Model", "toy-model-1")
        known = json.dumps(dict.fromkeys(self.volumes, "another hash"))
        self.result.SetAttribute("VoxMMSD.Fingerprints", known)
        with self.assertRaisesRegex(InputError, "T1 has changed since this result was made from it"):
            logic.carry(self.result)
        slicer.mrmlScene.RemoveNode(t2w)
        with self.assertRaisesRegex(InputError, "the image given as T2 is no longer in the scene"):
            logic.carry(self.result)
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job is None)
        self.assertIn("no longer in the scene", self.ui.carryLabel.text)
        self.assertEqual(self.left_behind(), [])
        slicer.mrmlScene.RemoveNode(self.volumes["t1c"])
        self.box.look()
        self.assertFalse(self.ui.carryButton.enabled)
        self.assertIn("no longer in the scene", self.ui.carryButton.toolTip)

    def test_a_scene_that_was_saved_goes_on_where_it_was(self):
        _, after = self.carried()
        # As "Before" leaves it; a scene that writes the segmentation, too, shows "After" first.
        self.result.GetDisplayNode().SetVisibility2D(False)
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        name = self.result.GetName()
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        self.result = slicer.util.getNode(name)
        self.volumes = {key: self.result.GetNodeReference(f"VoxMMSD.Input.{key}") for key in self.volumes}
        wait_until(lambda: self.panel.review_tab.result is self.result)
        self.settled()
        self.assertTrue(self.result.GetDisplayNode().GetVisibility2D())
        self.assertTrue(np.array_equal(self.labels(), after))
        self.assertIn("Carried to", self.ui.carriedLabel.text)
        self.assertNotIn("Undo", self.ui.carriedLabel.text)
        self.assertFalse(self.ui.carryButton.enabled)
        far = np.zeros(self.true.shape, bool)
        far[3:6, 3:6, 3:6] = True
        paint(self.result, "ED", far, self.volumes["t1c"])
        self.settled()
        self.carry()
        self.assertEqual((round_number(self.result), self.ui.carryLabel.text), (2, ""))

    def test_the_whole_way_from_apply_knows_its_images_again(self):
        press_find(self.panel)
        self.ui.applyButton.click()
        wait_until(lambda: self.panel.segment_tab.job is None)
        self.result = self.panel.parameters.result
        known = json.loads(self.result.GetAttribute("VoxMMSD.Fingerprints"))
        self.assertEqual(set(known), set(self.volumes))
        self.settled()
        self.assertFalse(self.ui.carryButton.enabled)
        image = slicer.util.arrayFromVolume(self.volumes["t2f"])
        as_it_was = image.copy()
        image[20:30] += 1
        self.correct_slice()
        self.ui.carryButton.click()
        wait_until(lambda: self.box.job is None)
        self.assertIn("FLAIR has changed since this result was made from it", self.ui.carryLabel.text)
        image[:] = as_it_was
        self.settled()
        self.carry()
        self.assertEqual(round_number(self.result), 1, self.ui.carryLabel.text)
