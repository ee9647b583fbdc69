"""*Follow-up*: the visits of a patient are compared beside Slicer, and two of them are shown side by side."""

import dataclasses
import errno
import math
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import slicer_case
from phantom_case import add_result, add_volumes, phantom
from slicer_case import wait_until

from voxmmsd.data.grid import Grid
from voxmmsd.data.volume import Volume
from voxmmsd.labels import MODALITIES
from VoxMMSDLib.background import at_once
from VoxMMSDLib.segments import mask_of, set_mask
from VoxMMSDLib.volumes import ijk_to_world
from VoxMMSDSegmentLib.result import reference_of, remove_result

KEPT = ("follow-up.csv", "follow-up.html", "follow-up.json", "follow-up.png")
NAMES = slicer.vtkMRMLSubjectHierarchyConstants


def moved(made, degrees=4.0, shift_mm=(3.0, -4.0, 2.0)):
    """The same head as it lies at another visit."""
    turn = np.eye(4)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn[:2, :2] = [[c, -s], [s, c]]
    turn[:3, 3] = shift_mm
    return dataclasses.replace(made, grid=Grid(made.grid.shape_zyx, turn @ made.grid.affine_xyz))


def in_study(node, patient, day):
    """Put an image below a patient and a study, as Slicer does with DICOM."""
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    person = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    tree.SetItemAttribute(person, NAMES.GetDICOMPatientIDAttributeName(), patient)
    study = tree.CreateStudyItem(person, "study")
    tree.SetItemAttribute(study, NAMES.GetDICOMStudyDateAttributeName(), day)
    tree.SetItemParent(tree.GetItemByDataNode(node), study)


class FollowTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.later = moved(self.made)
        self.volumes = [
            add_volumes(made, ("t1c", "t2f"), prefix) for made, prefix in ((self.made, "a"), (self.later, "b"))
        ]
        self.results = [
            add_result(made, volumes, self.folder)
            for made, volumes in zip((self.made, self.later), self.volumes, strict=True)
        ]
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.tab = self.panel.ui, self.panel.follow_tab

    def add(self, *results):
        for result in results:
            self.ui.visitSelector.setCurrentNode(result)
            self.ui.addVisitButton.click()

    def compare(self, code="P-007"):
        self.ui.patientEdit.setText(code)
        self.ui.followButton.click()
        wait_until(lambda: self.tab.job is None, 240)
        return self.ui.followLabel.text

    def rows(self, table):
        return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]

    def temporary(self):
        """What lies in Slicer's temporary folder."""
        return sorted(f.name for f in Path(slicer.app.temporaryPath).glob("voxmmsd-*/**/*") if f.is_file())

    def half_of_the_enhancing_tumor(self):
        """What the later visit has left of it."""
        reference = self.volumes[1]["t1c"]
        mask = mask_of(self.results[1], ["ET"], reference)
        mask[:, :, : int(np.argwhere(mask)[:, 2].mean())] = False
        set_mask(self.results[1], "ET", mask, reference)
        return float(mask.sum()) / float((self.made.label_zyx == 3).sum())

    def test_two_results_are_compared_in_numbers_and_nothing_of_the_images_stays(self):
        left = self.half_of_the_enhancing_tumor()
        self.add(*self.results)
        self.assertEqual(self.compare(), "")
        rows = {row[0]: row[1:] for row in self.rows(self.ui.changesTable)}
        enhancing = next(row for name, row in rows.items() if name.startswith("Enhancing"))
        self.assertAlmostEqual(float(enhancing[1]) / float(enhancing[0]), left, delta=0.02)
        self.assertAlmostEqual(float(enhancing[2].removesuffix(" %")), (left - 1) * 100, delta=2)
        self.assertIn("Sum of products, mm²", rows)
        lesions = self.rows(self.ui.lesionsTable)
        self.assertIn("ml", lesions[0][0])
        self.assertIn("diameters", lesions[1][0])
        self.assertIn("×", lesions[1][1])
        self.assertIn("RANO 2.0", self.ui.summaryLabel.text)
        self.assertIn("steroids", self.ui.caveatLabel.text)
        self.assertFalse(self.ui.chartImage.pixmap.isNull())
        self.assertEqual(self.temporary(), list(KEPT))
        self.assertIn("P-007", self.tab.found.page.read_text(encoding="utf-8"))

    def test_the_later_visit_lies_on_the_first_one_and_the_users_images_where_they_were(self):
        before = [ijk_to_world(volumes["t1c"]) for volumes in self.volumes]
        self.add(*self.results)
        self.compare()
        first, later = self.tab.found.visits
        for key in ("ET", "WT"):
            off = np.subtract(first.places[key][1], later.places[key][1])
            self.assertLess(np.linalg.norm(off), 3.0)
        self.assertGreater(np.abs(before[0] - before[1]).max(), 2.0)
        for volumes, matrix in zip(self.volumes, before, strict=True):
            self.assertTrue(np.array_equal(ijk_to_world(volumes["t1c"]), matrix))
        self.assertEqual(
            [node.GetSegmentation().GetNumberOfSegments() for node in (first.outlines, later.outlines)], [2, 2]
        )
        self.assertFalse(first.outlines.GetSaveWithScene() or first.image.GetSaveWithScene())

    @slicer_case.needs_main_window
    def test_both_are_shown_side_by_side_and_the_views_given_back(self):
        red, yellow = (
            slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode") for name in ("Red", "Yellow")
        )
        own = self.volumes[0]["t2f"]
        red.SetBackgroundVolumeID(own.GetID())
        yellow.SetBackgroundVolumeID(None)
        orientation = slicer.mrmlScene.GetSingletonNode("Yellow", "vtkMRMLSliceNode").GetOrientation()
        result = self.results[1]
        self.add(*self.results)
        self.compare()
        self.assertTrue(result.GetDisplayNode().GetVisibility())
        self.ui.sideBySideCheck.setChecked(True)
        first, later = self.tab.found.visits
        wait_until(lambda: yellow.GetBackgroundVolumeID() == later.image.GetID() and yellow.GetLinkedControl())
        self.assertEqual(red.GetBackgroundVolumeID(), first.image.GetID())
        views = [slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in ("Red", "Yellow")]
        self.assertEqual(views[0].GetOrientation(), "Axial")
        planes = [slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS()) for view in views]
        self.assertTrue(np.allclose(*planes))
        self.assertAlmostEqual(planes[0][2, 3], first.places["ET"][1][2], delta=3.0)
        for visit in (first, later):
            display = visit.outlines.GetDisplayNode()
            self.assertTrue(display.GetVisibility() and display.GetSegmentVisibility("ET"))
            self.assertFalse(display.GetSegmentVisibility("WT"))
        self.assertFalse(result.GetDisplayNode().GetVisibility())
        wait_until(lambda: not self.tab.is_showing)
        views[0].JumpSliceByOffsetting(0.0, 0.0, 1.5)
        self.ui.outlineCombo.setCurrentIndex(1)
        wait_until(lambda: later.outlines.GetDisplayNode().GetSegmentVisibility("WT") and not self.tab.is_showing)
        self.assertAlmostEqual(views[0].GetSliceToRAS().GetElement(2, 3), 1.5, delta=0.6)  # where the user was
        self.tab.exit()
        self.assertEqual(red.GetBackgroundVolumeID(), own.GetID())
        self.assertIsNone(yellow.GetBackgroundVolumeID())
        self.assertEqual(views[1].GetOrientation(), orientation)
        self.assertFalse(first.outlines.GetDisplayNode().GetVisibility())
        self.assertTrue(result.GetDisplayNode().GetVisibility())

    @slicer_case.needs_main_window
    def test_another_tab_and_a_new_result_give_the_views_back_and_the_new_one_is_seen_alone(self):
        self.panel.enter()
        self.ui.tabs.setCurrentWidget(self.ui.followTab)
        self.add(*self.results)
        older, side_by_side = self.results[1].GetDisplayNode(), self.ui.sideBySideCheck
        self.compare()
        self.assertTrue(side_by_side.checked)
        wait_until(lambda: not self.tab.is_showing)
        self.assertFalse(older.GetVisibility())
        self.ui.tabs.setCurrentWidget(self.ui.reviewTab)
        self.assertFalse(side_by_side.checked)
        self.assertTrue(older.GetVisibility())
        self.ui.tabs.setCurrentWidget(self.ui.followTab)
        side_by_side.setChecked(True)
        wait_until(lambda: not self.tab.is_showing)
        arrived = add_result(self.made, self.volumes[0], self.folder)
        at_once(self.panel.show_new(arrived))
        self.assertFalse(side_by_side.checked)
        self.assertFalse(older.GetVisibility())
        self.assertTrue(arrived.GetDisplayNode().GetVisibility())
        composite = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        self.assertEqual(composite.GetBackgroundVolumeID(), reference_of(arrived).GetID())

    def test_whose_the_visits_are_must_be_told_where_nothing_tells(self):
        self.add(*self.results)
        said = self.compare("")
        self.assertIn("cannot be told from their names", said)
        self.assertIn("enter the patient&#x27;s code", said)
        self.assertNotIn("--patient", said)
        self.assertIsNone(self.tab.found)
        self.assertEqual(self.temporary(), [])

    def test_dicom_tells_patient_and_days_and_the_patients_number_is_written_nowhere(self):
        for volumes, day in zip(self.volumes, ("20200102", "20200404"), strict=True):
            in_study(volumes["t1c"], "PAT-7", day)
        self.add(*self.results)
        self.assertEqual([row[1] for row in self.rows(self.ui.visitsTable)], ["0", "93"])
        self.assertEqual(self.compare(""), "")
        self.assertEqual(self.ui.laterCombo.currentText, "day 93")
        self.assertNotIn("PAT-7", self.tab.found.page.read_text(encoding="utf-8"))

    def test_two_patients_are_refused_in_a_sentence_and_visits_by_dicom_are_in_the_order_of_time(self):
        in_study(self.volumes[0]["t1c"], "PAT-7", "20200404")
        in_study(self.volumes[1]["t1c"], "PAT-8", "20200102")
        self.add(*self.results)
        names = [result.GetName() for result in self.results]
        self.assertEqual(self.rows(self.ui.visitsTable), [[names[1], "0"], [names[0], "93"]])
        self.assertIn("different patients", self.compare(""))
        self.assertEqual(self.compare("P-007"), "")

    @slicer_case.long
    def test_days_that_are_typed_count_and_some_are_not_enough(self):
        self.add(*self.results)
        self.ui.visitsTable.item(1, 1).setText("30")
        self.assertIn("for some visits only", self.compare())
        self.ui.visitsTable.item(0, 1).setText("0")
        self.assertEqual(self.compare(), "")
        self.assertEqual(self.ui.laterCombo.currentText, "day 30")
        self.ui.visitsTable.item(1, 1).setText("soon")
        self.assertIn("soon: is not a number of days", self.compare())

    def test_once_each_visit_has_a_day_the_list_is_in_the_order_of_time(self):
        table, up = self.ui.visitsTable, self.ui.visitUpButton
        first, second = (result.GetName() for result in self.results)
        self.add(*self.results)
        table.selectRow(1)
        self.assertTrue(up.enabled)
        table.item(0, 1).setText("120")
        self.assertEqual(self.rows(table), [[first, "120"], [second, ""]])
        table.item(1, 1).setText("27")
        self.assertEqual(self.rows(table), [[second, "27"], [first, "120"]])
        self.assertEqual(table.currentRow(), 0)
        self.assertEqual(self.tab.visits.days(), [0, 93])
        table.selectRow(1)
        self.assertFalse(up.enabled)
        self.assertIn("order of their days", up.toolTip)
        table.item(1, 1).setText("27")
        self.assertIn("two visits have the same day (27)", self.compare())
        table.item(1, 1).setText("")
        table.selectRow(1)
        self.assertTrue(up.enabled)

    def test_a_visit_without_a_date_takes_its_place_among_those_with_one_when_its_day_is_typed(self):
        in_study(self.volumes[0]["t1c"], "PAT-7", "20200404")
        first, second = (result.GetName() for result in self.results)
        self.add(*self.results)
        self.assertEqual(self.rows(self.ui.visitsTable), [[first, ""], [second, ""]])
        self.ui.visitsTable.item(1, 1).setText("-93")
        self.assertEqual(self.rows(self.ui.visitsTable), [[second, "-93"], [first, "0"]])
        self.assertEqual(self.tab.visits.days(), [0, 93])

    def test_visits_without_a_tumor_are_refused_and_one_visit_is_not_enough(self):
        self.add(self.results[0])
        self.assertFalse(self.ui.followButton.enabled)
        for result, volumes in zip(self.results, self.volumes, strict=True):
            for key in result.GetSegmentation().GetSegmentIDs():
                set_mask(result, key, np.zeros(self.made.label_zyx.shape, bool), volumes["t1c"])
        self.add(self.results[1])
        self.assertTrue(self.ui.followButton.enabled)
        self.assertIn("none of the visits has a tumor", self.compare())

    def test_cancel_ends_it_and_leaves_nothing(self):
        self.add(*self.results)
        self.ui.patientEdit.setText("P-007")
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        self.tab._cancel_timer.setInterval(1)  # else a fast computer is done before the button comes back
        self.ui.followButton.click()
        self.ui.followButton.click()  # the second click of a double click
        self.assertIsNotNone(self.tab.job)
        wait_until(lambda: self.ui.followButton.enabled and self.tab.job.child is not None)
        self.ui.followButton.click()
        wait_until(lambda: self.tab.job is None)
        self.assertIn("Canceled", self.ui.followLabel.text)
        self.assertEqual(self.temporary(), [])
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self.assertEqual(self.ui.followButton.text, "&Compare visits")

    @slicer_case.long
    def test_a_deleted_result_is_no_visit_and_what_was_found_goes_with_it(self):
        self.add(*self.results)
        self.compare()
        image = self.tab.found.visits[1].image
        remove_result(self.results[1])
        wait_until(lambda: len(self.tab.visits.visits) == 1)
        self.assertIsNone(self.tab.found)
        self.assertFalse(slicer.mrmlScene.IsNodePresent(image))
        self.assertEqual(self.temporary(), [])

    def test_a_visit_that_is_deleted_while_it_is_compared_ends_that(self):
        self.add(*self.results)
        self.ui.patientEdit.setText("P-007")
        self.ui.followButton.click()
        wait_until(lambda: self.tab.job.child is not None)
        process = self.tab.job.child._process
        remove_result(self.results[1])
        wait_until(lambda: len(self.tab.visits.visits) == 1)
        self.assertIsNone(self.tab.job)
        self.assertIsNotNone(process.poll())
        self.assertIn("one of the visits was deleted", self.ui.followLabel.text)
        self.assertEqual(self.temporary(), [])
        self.assertTrue(self.ui.visitsTable.enabled)

    def test_the_scene_takes_all_of_it(self):
        self.add(*self.results)
        self.compare()
        self.ui.sideBySideCheck.setChecked(True)
        slicer.mrmlScene.Clear()
        self.assertEqual(self.ui.visitsTable.rowCount, 0)
        self.assertEqual(self.ui.patientEdit.text, "")
        self.assertIsNone(self.tab.found)
        self.assertEqual(self.temporary(), [])

    @slicer_case.long
    def test_cases_of_a_library_are_visits_by_their_files(self):
        from voxmmsd.library.folder import create_library

        library = create_library(self.folder / "library")
        for case_id, made, gain in (("P007-1", self.made, 1), ("P007-2", self.later, 2)):
            scans = {key: made.image_czyx[MODALITIES.index(key)] * gain for key in ("t1c", "t2f")}
            images = {key: Volume(scan, made.grid) for key, scan in scans.items()}
            library.add_case(case_id, images, patient="P-007")
            library.add_prediction(case_id, Volume(made.label_zyx, made.grid), made.schema.name, "toy-1")
        files = [str(self.folder / "library" / "cases" / name / "case.json") for name in ("P007-1", "P007-2")]
        with mock.patch("qt.QFileDialog.getOpenFileNames", return_value=files):
            self.ui.addFilesButton.click()
        self.assertEqual([row[0] for row in self.rows(self.ui.visitsTable)], ["P007-1", "P007-2"])
        self.assertEqual(self.compare(""), "")
        self.assertEqual(len(self.tab.found.visits), 2)

    def test_the_page_opens_and_is_kept_on_demand_over_nothing_that_is_there(self):
        self.add(*self.results)
        self.compare()
        opened, kept = [], self.folder / "kept"
        with mock.patch("qt.QDesktopServices.openUrl", lambda url: opened.append(Path(url.toLocalFile()))):
            self.ui.openPageButton.click()
        self.assertEqual(opened, [self.tab.found.page])
        with mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(kept)):
            self.ui.keepPageButton.click()
            self.assertEqual(sorted(file.name for file in kept.iterdir()), list(KEPT))
            self.ui.keepPageButton.click()
        self.assertIn("exists already", self.ui.keptLabel.text)

    def test_a_page_that_cannot_be_kept_leaves_nothing_and_is_refused_in_a_sentence(self):
        self.add(*self.results)
        self.compare()
        there, new = self.folder / "there", self.folder / "new"
        there.mkdir()
        (there / "of-the-user.txt").write_text("stays")
        copied, replaced = shutil.copyfile, Path.replace

        def copy(source, target):
            if Path(source).suffix == ".png":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            return copied(source, target)

        def replace(source, target):
            if Path(target).suffix == ".png":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
            return replaced(source, target)

        for folder, left in ((there, ["of-the-user.txt"]), (new, [])):
            for failing, said in (
                (mock.patch("shutil.copyfile", copy), "the disk is full"),
                (mock.patch.object(Path, "replace", replace), os.strerror(errno.EACCES)),
            ):
                with self.subTest(folder=folder.name, said=said), failing:
                    self.tab.keep(folder)
                    self.assertIn(said, self.ui.keptLabel.text)
                    self.assertIn(str(folder), self.ui.keptLabel.text)
                    self.assertIn("folder", self.ui.keptLabel.text.split("<br>")[1])
                    self.assertEqual([file.name for file in folder.glob("*")], left)
                    self.assertEqual(folder.exists(), bool(left))
        self.tab.keep(new)
        self.assertEqual(sorted(file.name for file in new.iterdir()), list(KEPT))
