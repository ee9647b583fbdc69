"""Images as they come from a scanner, by one switch; the brain mask is seen, corrected and used again."""

from unittest import mock

import numpy as np
import slicer
import slicer_case
from phantom_case import TOY_MODEL, add_volumes, phantom
from slicer_case import press_find, wait_until

from voxmmsd.data.strippers import HD_BET
from VoxMMSDLib import dependencies
from VoxMMSDLib.segments import mask_of, set_mask
from VoxMMSDSegmentLib.brain_masks import BRAIN, mask_of_result
from VoxMMSDSegmentLib.result import remove_result


class FromScannerTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.volumes = add_volumes(self.made)
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.tab = self.panel.ui, self.panel.segment_tab
        self.tab.models.import_file(TOY_MODEL)
        press_find(self.panel)

    def segmented(self):
        self.ui.applyButton.click()
        wait_until(lambda: self.tab.job is None)
        result = self.panel.parameters.result
        self.assertIsNotNone(result, self.ui.errorLabel.text)
        return result

    def voxels(self, mask):
        return mask_of(mask, [BRAIN], self.volumes["t1c"])

    def labeled(self, result):
        return mask_of(result, result.GetSegmentation().GetSegmentIDs(), self.volumes["t1c"])

    def box(self):
        return self.panel.review_tab.mask

    def test_the_mask_is_an_outline_that_can_be_corrected_and_used_again(self):
        self.ui.fromScannerCheck.setChecked(True)
        result = self.segmented()
        mask = mask_of_result(result)
        display = mask.GetDisplayNode()
        self.assertEqual((display.GetVisibility(), display.GetVisibility2DFill(), display.GetVisibility3D()), (1, 0, 0))
        brain = self.made.image_czyx[1] > 0
        self.assertGreater((self.voxels(mask) & brain).sum(), 0.99 * brain.sum())
        self.assertTrue(self.box().use_button.enabled)
        self.box().shown_check.click()
        self.assertEqual(display.GetVisibility(), 0)

        press_find(self.panel)
        self.assertIsNone(self.panel.parameters.brainMask, "what was made here is no input until the user says so")
        smaller = self.voxels(mask)
        cut = slice(0, int(np.argwhere(self.labeled(result))[:, 0].mean()))
        smaller[cut] = False
        set_mask(mask, BRAIN, smaller, self.volumes["t1c"])
        self.box().use_button.click()
        self.assertIs(self.panel.parameters.brainMask, mask)
        self.assertIs(self.ui.brainMaskSelector.currentNode(), mask)
        self.assertIs(self.ui.tabs.currentWidget(), self.ui.segmentTab)
        again = self.segmented()
        self.assertIsNot(again, result)
        self.assertIs(mask_of_result(again), mask)
        self.assertTrue(np.array_equal(self.voxels(mask), smaller), "the corrected mask stays as it was drawn")
        self.assertTrue(self.labeled(result)[cut].any() and not self.labeled(again)[cut].any())
        remove_result(result)
        self.assertTrue(slicer.mrmlScene.IsNodePresent(mask), "it is the user's now")

    def test_a_result_takes_its_mask_along(self):
        self.ui.fromScannerCheck.setChecked(True)
        result = self.segmented()
        mask = mask_of_result(result)
        remove_result(result)
        self.assertFalse(slicer.mrmlScene.IsNodePresent(mask))

    def test_bias_fields_are_removed_where_that_is_asked_for(self):
        self.assertNotIn("--n4", self.tab.options().arguments())
        self.ui.n4Check.setChecked(True)
        seen = []
        with mock.patch.object(self.tab, "_say", seen.append):
            self.segmented()
        self.assertTrue([text for text in seen if text.startswith("Removing bias fields")], seen)

    def test_without_a_mask_there_is_none_to_use(self):
        self.segmented()
        self.assertFalse(self.box().use_button.enabled)

    @slicer_case.needs_main_window
    def test_correct_opens_the_segment_editor_with_the_mask(self):
        self.ui.fromScannerCheck.setChecked(True)
        mask = mask_of_result(self.segmented())
        self.box().edit_button.click()
        self.assertEqual(slicer.util.selectedModule(), "SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.assertIs(editor.segmentationNode(), mask)
        self.assertIs(editor.sourceVolumeNode(), self.volumes["t1c"])

    def test_hd_bet_is_one_click_and_one_question_away(self):
        program = mock.PropertyMock(return_value=False)
        with (
            mock.patch("voxmmsd.data.strippers.Program.is_installed", program),
            mock.patch("slicer.util.confirmYesNoDisplay", return_value=False) as asked,
            mock.patch("VoxMMSDSegmentLib.hd_bet_button.find_spec", return_value=object()),
            mock.patch.object(dependencies, "install", lambda wanted: setattr(program, "return_value", bool(wanted))),
        ):
            self.tab.hd_bet.update()
            self.assertTrue(self.ui.installHdBetButton.isVisibleTo(self.ui.segmentTab))
            self.ui.installHdBetButton.click()
            self.assertIn("294 MB", asked.call_args.args[0])
            self.assertIn("not installed", self.ui.errorLabel.text)
            self.assertNotEqual(self.ui.stripCombo.currentData, HD_BET)
            asked.return_value = True
            self.ui.installHdBetButton.click()
            self.assertEqual(self.ui.errorLabel.text, "")
            self.assertEqual(self.ui.stripCombo.currentData, HD_BET)
            self.assertFalse(self.ui.installHdBetButton.isVisibleTo(self.ui.segmentTab))
