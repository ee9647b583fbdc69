"""*Add a resection cavity*: a tissue that the model does not know is painted in a slice and carried."""

from unittest import mock

import carry_case
import numpy as np
from carry_case import NCR
from phantom_case import add_result, paint

from voxmmsd.library import open_library
from VoxMMSDLib.segments import SCHEMA, schema_of
from VoxMMSDSegmentLib import carrying
from VoxMMSDSegmentLib.regions import table_node
from VoxMMSDSegmentLib.result import replace_result
from VoxMMSDSegmentLib.rounds import base_of, round_number

RC = 4


class CavityTest(carry_case.CarryCase):
    """The phantom's necrosis is called a cavity by the reader."""

    def add_cavity(self):
        self.assertTrue(self.ui.cavityButton.enabled, self.ui.cavityButton.toolTip)
        self.ui.cavityButton.click()
        self.settled()

    def paint_cavity(self, z=None):
        mask = np.zeros(self.true.shape, bool)
        z = self.slice if z is None else z
        mask[z] = self.true[z] == NCR
        self.ui.segmentEditor.saveStateForUndo()
        paint(self.result, "RC", mask, self.volumes["t1c"])
        self.settled()
        return mask

    def rows(self):
        names = table_node(self.result).GetTable().GetColumn(0)
        return [names.GetValue(i) for i in range(names.GetNumberOfValues())]

    def test_a_cavity_is_painted_in_one_slice_carried_and_accepted(self):
        self.add_cavity()
        self.assertEqual(self.ui.segmentEditor.currentSegmentID(), "RC")
        self.assertFalse(self.ui.cavityButton.enabled)
        self.assertIn("has a resection cavity", self.ui.cavityButton.toolTip)
        self.assertFalse(self.ui.carryButton.enabled)  # nothing was painted yet
        self.assertIn("Resection cavity", self.rows())
        painted = self.paint_cavity()
        self.assertIn("one corrected slice", self.ui.carryButton.toolTip)
        before = self.labels()
        self.carry()
        self.assertEqual(round_number(self.result), 1, self.ui.carryLabel.text)
        after = self.labels()
        elsewhere = (self.true == NCR) & (np.arange(len(after)) != self.slice)[:, None, None]
        self.assertGreater((after[elsewhere] == RC).mean(), 0.7)
        self.assertTrue((after[painted] == RC).all())
        self.assertLess(((after == RC) & (self.true != NCR)).sum(), 0.1 * elsewhere.sum())
        self.assertIn("Resection cavity", self.ui.carriedLabel.text)
        version = self.panel.logic.accept(self.result, self.folder / "library", "site1-007")
        self.assertEqual(version.schema, "brats-gli-2023+RC")
        library = open_library(self.folder / "library")
        self.assertTrue(np.array_equal(library.read_label(library.case("site1-007"), version).array == RC, after == RC))
        self.ui.segmentEditor.undo()
        self.settled()
        self.assertTrue(np.array_equal(self.labels(), before))

    def test_a_cavity_that_goes_while_it_is_carried_leaves_no_hole(self):
        self.add_cavity()
        painted = self.paint_cavity()
        before, put = self.labels(), carrying._put

        def put_without_cavity(*arguments):
            self.result.GetSegmentation().RemoveSegment("RC")
            return put(*arguments)

        with mock.patch.object(carrying, "_put", put_without_cavity):
            self.carry()
        self.assertEqual(self.ui.carryLabel.text, "")
        holes = (self.labels() == 0) & (before != 0) & ~painted
        self.assertFalse(base_of(self.result, self.volumes["t1c"]).label[holes].any())  # but the carry's own

    def test_a_second_carry_knows_the_cavity_and_what_is_erased_goes(self):
        self.add_cavity()
        self.paint_cavity()
        self.carry()
        far = np.zeros(self.true.shape, bool)
        far[3:6, 3:6, 3:6] = True
        paint(self.result, "RC", far, self.volumes["t1c"])
        self.settled()
        self.carry()
        self.assertEqual((round_number(self.result), self.ui.carryLabel.text), (2, ""))
        self.assertTrue((self.labels()[far] == RC).all())
        self.assertTrue((base_of(self.result, self.volumes["t1c"]).origin[far] == 1).all())

    def test_undo_takes_the_cavity_away_and_it_can_be_added_again(self):
        before = self.labels()
        self.add_cavity()
        self.ui.segmentEditor.undo()
        self.settled()
        self.assertIsNone(self.result.GetSegmentation().GetSegment("RC"))
        self.assertTrue(self.ui.cavityButton.enabled)
        self.assertTrue(np.array_equal(self.labels(), before))
        _, after = self.carried()
        self.assertFalse((after == RC).any())
        self.add_cavity()
        self.assertIsNotNone(self.result.GetSegmentation().GetSegment("RC"))

    def test_a_cavity_that_was_added_and_not_painted_is_found_nowhere(self):
        self.add_cavity()
        _, after = self.carried()
        self.assertFalse((after == RC).any())

    def test_a_carry_from_before_the_cavity_is_still_what_the_edits_are_of(self):
        _, after = self.carried()
        self.add_cavity()
        self.assertEqual(round_number(self.result), 1)
        self.assertFalse(self.ui.carryButton.enabled)
        self.assertTrue(np.array_equal(self.labels(), after))
        self.paint_cavity(self.slice + 1)
        self.carry()
        self.assertEqual(round_number(self.result), 2, self.ui.carryLabel.text)

    def test_a_new_segmentation_of_the_same_images_leaves_the_cavity_that_was_drawn(self):
        self.add_cavity()
        painted = self.paint_cavity()
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        self.assertEqual(schema_of(self.result).name, "brats-gli-2023+RC")
        self.assertTrue((self.labels()[painted] == RC).all())

    def test_it_is_off_without_a_result_and_where_the_model_knows_cavities(self):
        self.result.SetAttribute(SCHEMA, "brats-gli-2024")
        self.panel.review_tab.cavity.update()
        self.assertFalse(self.ui.cavityButton.enabled)
        self.assertIn("that do not know it", self.ui.cavityButton.toolTip)
        self.panel.parameters.result = None
        self.assertFalse(self.ui.cavityButton.enabled)
        self.assertIn("no result", self.ui.cavityButton.toolTip)
