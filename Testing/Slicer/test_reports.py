"""A report is written beside Slicer, and the diameters it measures are lines that the user may move."""

from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import slicer_case
import vtk
from phantom_case import add_result, add_volumes, phantom
from slicer_case import wait_until

from voxmmsd.labels import indices_from_values
from voxmmsd.measuring.lesions import find_lesions
from VoxMMSDLib.segments import label_array, set_mask
from VoxMMSDSegmentLib.diameter_lines import MAX_LESIONS, find_lines, lines_of, show_lines
from VoxMMSDSegmentLib.result import remove_result


class ReportTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.volumes = add_volumes(self.made)
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.tab = self.panel.ui, self.panel.review_tab
        self.result = add_result(self.made, self.volumes, self.folder, findings=["warning: t2f is thick; prefer 3-D"])
        self.panel.parameters.result = self.result
        self.opened = []
        opened = mock.patch("qt.QDesktopServices.openUrl", lambda url: self.opened.append(Path(url.toLocalFile())))
        opened.start()
        self.addCleanup(opened.stop)

    def report(self):
        with mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.folder / "reports")):
            self.ui.reportButton.click()
        wait_until(lambda: self.tab.reports.job is None, 120)
        return self.ui.acceptedLabel.text

    def lesions(self):
        return find_lines(self.made.label_zyx, self.made.schema, self.made.grid.affine_xyz)

    def lines(self):
        """All lines, put into the scene at once."""
        for _step in show_lines(self.result, self.lesions()):
            pass
        return lines_of(self.result)

    def measured(self):
        labels = label_array(self.result, self.volumes["t1c"])
        indices = indices_from_values(labels, self.made.schema, "here")
        return [
            one for one in find_lesions(indices, self.made.schema, self.made.grid, "ET").lesions if one.is_measurable
        ]

    def test_the_button_writes_and_opens_a_page_and_leaves_nothing_of_the_patient(self):
        said = self.report()
        self.assertIn("case-voxmmsd-report.html", said)
        page = self.folder / "reports" / "case-voxmmsd-report.html"
        self.assertEqual(self.opened, [page])
        self.assertTrue(page.with_suffix(".pdf").is_file())
        text = page.read_text(encoding="utf-8")
        self.assertIn("t2f is thick", text)
        self.assertIn("Places to check", text)
        self.assertIn("toy-model-1", text)
        self.assertNotIn("visit1", text)
        self.assertNotIn("corrected by a person", text)
        self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])

    def test_corrected_labels_are_reported_under_the_code_and_a_second_report_is_refused_in_a_sentence(self):
        set_mask(self.result, "ED", np.zeros(self.made.label_zyx.shape, bool), self.volumes["t1c"])
        self.ui.caseEdit.setText("site1-007")
        self.report()
        text = (self.folder / "reports" / "site1-007-voxmmsd-report.html").read_text(encoding="utf-8")
        self.assertIn("corrected by a person", text)
        self.assertIn("exists already", self.report())
        self.assertEqual(len(self.opened), 1)
        self.assertTrue(self.ui.reportButton.enabled)

    def test_a_report_in_the_way_of_another_patients_is_said_in_the_panels_words(self):
        self.report()
        said = self.report()  # neither has a case code
        self.assertIn("case-voxmmsd-report.pdf: exists already", said)
        self.assertIn("give the case a code of its own, or choose another folder", said)
        self.assertNotIn("--", said)

    def test_there_is_no_report_without_a_result(self):
        self.panel.parameters.result = None
        self.assertFalse(self.ui.reportButton.enabled)

    def test_lines_have_the_lengths_of_the_diameters_and_go_with_the_result(self):
        lines = self.lines()
        expected = [
            line.length_mm for one in self.measured() for line in (one.diameters.longest, one.diameters.perpendicular)
        ]
        self.assertGreater(len(lines), 1)
        self.assertTrue(np.allclose([node.GetMeasurement("length").GetValue() for node in lines], expected[:8]))
        self.assertFalse(any(node.GetLocked() for node in lines))
        remove_result(self.result)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), [])

    def test_lines_are_short_in_the_views_and_a_folder_in_the_data_tree_says_whose_they_are(self):
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        lines = self.lines()
        names = [node.GetName() for node in lines]
        self.assertEqual(names[:2], ["1 longest", "1 perp."])
        self.assertEqual(len(set(names)), len(names))
        folders = {tree.GetItemParent(tree.GetItemByDataNode(node)) for node in lines}
        self.assertEqual([tree.GetItemName(item) for item in folders], [f"{self.result.GetName()} diameters"])
        at = [node.GetDisplayNode().GetTextProperty().GetVerticalJustification() for node in lines[:2]]
        self.assertEqual(at, [vtk.VTK_TEXT_BOTTOM, vtk.VTK_TEXT_TOP])
        slicer.mrmlScene.RemoveNode(lines[0])
        slicer.mrmlScene.RemoveNode(self.result)  # as the user does in the data tree
        wait_until(lambda: not any(tree.GetItemName(item) for item in folders))

    def test_lines_that_the_user_moved_stay_and_those_that_were_deleted_come_back(self):
        first = self.lines()[0]
        first.SetNthControlPointPositionWorld(0, [1.0, 2.0, 3.0])
        self.assertIs(self.lines()[0], first)
        for node in lines_of(self.result):
            slicer.mrmlScene.RemoveNode(node)
        self.assertEqual(len(self.lines()), 2 * len(self.measured()[:MAX_LESIONS]))

    def test_lines_say_nothing_in_the_error_log(self):
        window, before = vtk.vtkStringOutputWindow(), vtk.vtkOutputWindow.GetInstance()
        self.addCleanup(vtk.vtkOutputWindow.SetInstance, before)
        vtk.vtkOutputWindow.SetInstance(window)
        self.assertTrue(self.lines())
        self.assertEqual(window.GetOutput(), "")

    def test_lines_come_one_at_a_time_and_end_with_the_result(self):
        """Each costs Slicer a part of a second that it would stand still."""
        steps = show_lines(self.result, self.lesions())
        for count in (0, 1):
            next(steps)
            self.assertEqual(len(lines_of(self.result)), count)
        remove_result(self.result)
        self.assertEqual(list(steps), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), [])

    def test_a_report_that_is_under_way_is_finished_without_the_scene(self):
        with mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.folder / "reports")):
            self.ui.reportButton.click()
        slicer.mrmlScene.Clear()
        self.assertIsNotNone(self.tab.reports.job)
        self.assertIn("being written", self.ui.acceptedLabel.text)
        wait_until(lambda: self.tab.reports.job is None, 120)
        self.assertEqual(self.ui.acceptedLabel.text, "Report written as case-voxmmsd-report.html.")
        page = self.folder / "reports" / "case-voxmmsd-report.html"
        self.assertEqual(self.opened, [page])
        self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), [])

    def test_a_scene_that_closes_while_diameters_are_drawn_keeps_the_report_and_none_of_them(self):
        with mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.folder / "reports")):
            self.ui.reportButton.click()
        wait_until(lambda: slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), 120)
        slicer.mrmlScene.Clear()
        self.assertIsNone(self.tab.reports.job)
        self.assertEqual(self.ui.acceptedLabel.text, "Report written as case-voxmmsd-report.html.")
        self.assertEqual(len(self.opened), 1)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), [])
