"""The tab Library: what there is, what to label next, a case into the scene and its correction back."""

import slicer
import train_case
from slicer.util import arrayFromVolume

from VoxMMSDLib import settings


class TrainLibraryTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("library", str(self.folder / "library"))
        settings.write("TrainDatafinetune", "")

    def test_cases_come_in_by_the_add_button_and_are_filtered(self):
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        self.assertIn("no library here yet", ui.summaryLabel.text)
        ui.addPath.currentPath = str(self.phantoms(count=3))
        ui.addButton.click()
        self.wait_for(lambda: ui.casesTable.rowCount == 3)
        self.assertIn("3 with an accepted label", ui.summaryLabel.text)
        self.assertTrue(ui.nextBox.isHidden())
        self.assertEqual(panel.task.ui.dataPath.currentPath, ui.libraryPath.currentPath)  # there is something to learn
        ui.stateFilter.setCurrentIndex(1)
        self.assertEqual(ui.casesTable.rowCount, 0)
        ui.stateFilter.setCurrentIndex(0)
        ui.searchBox.text = "000"
        self.assertGreaterEqual(ui.casesTable.rowCount, 1)

    def test_a_folder_that_is_not_there_is_named(self):
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        ui.addPath.currentPath = str(self.folder / "nowhere")
        ui.addButton.click()
        self.wait_for(lambda: "no such file or folder" in ui.noticeLabel.text)
        self.assertTrue(ui.addButton.enabled)

    def test_the_case_to_label_next_is_opened_corrected_and_accepted(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        self.assertIn("phantom-007-000", ui.nextLabel.text)
        self.assertFalse(ui.acceptButton.enabled)
        ui.nextButton.click()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 4)
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.assertEqual(node.GetSegmentation().GetSegmentIDs(), ("NCR", "ED", "ET"))
        removed = self.clear_segment(node, "ET")
        self.assertGreater(removed, 0)
        node.GetDisplayNode().SetSegmentVisibility("ED", False)  # what is hidden counts all the same
        ui.acceptButton.click()
        case = library.case("phantom-007-000")
        self.assertEqual(case.newest.kind, "corrected")
        self.assertEqual(case.newest.drawn_over, ("toy-1",))
        self.assertEqual({key: change.removed for key, change in case.newest.changed_voxels.items()}["ET"], removed)
        self.assertEqual({key: change.added for key, change in case.newest.changed_voxels.items()}["ED"], 0)
        self.assertIn(f"{removed} voxels changed", ui.noticeLabel.text)

    def test_a_scene_that_is_saved_carries_no_path_of_the_library(self):
        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        panel.library.ui.nextButton.click()
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        values = [node.GetAttribute(name) for name in node.GetAttributeNames()]
        self.assertFalse([value for value in values if str(self.folder) in value])

    def clear_segment(self, node, segment_id):
        from VoxMMSDLib.segments import mask_of, set_mask

        reference = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
        mask = mask_of(node, [segment_id], reference)
        set_mask(node, segment_id, 0 * arrayFromVolume(reference).astype("uint8"), reference)
        return int(mask.sum())
