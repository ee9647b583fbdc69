"""The tab Library: what there is, what to label next, a case into the scene and its correction back."""

import os
import threading
import time
from contextlib import suppress
from unittest import mock

import numpy as np
import phantom_case
import slicer
import slicer_case
import train_case
import vtk
from slicer.util import arrayFromVolume

from voxmmsd.labels import MODALITIES
from VoxMMSDLib import library_folder, segments, settings
from VoxMMSDLib.background import at_once
from VoxMMSDSegmentLib.regions import regions_node
from VoxMMSDSegmentLib.result import replace_result, results
from VoxMMSDTrainLib import library_case


class TrainLibraryTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        settings.write("library", str(self.folder / "library"))

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
        nowhere = self.folder / "O'Neill <1>"
        ui.addPath.currentPath = str(nowhere)
        ui.addButton.click()
        self.wait_for(lambda: "no such file or folder" in ui.noticeLabel.text)
        self.assertIn(str(nowhere), ui.noticeLabel.text)  # as text, never as HTML
        self.assertTrue(ui.addButton.enabled)

    def test_the_case_to_label_next_is_opened_corrected_and_accepted(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        self.assertIn("phantom-007-000", ui.nextLabel.text)
        self.assertFalse(ui.acceptButton.enabled)
        node = self.open_next(panel)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 4)
        self.assertEqual(node.GetSegmentation().GetSegmentIDs(), ("NCR", "ED", "ET"))
        removed = self.clear_segment(node, "ET")
        self.assertGreater(removed, 0)
        node.GetDisplayNode().SetSegmentVisibility("ED", False)  # what is hidden counts all the same
        self.press_accept(panel)
        case = library.case("phantom-007-000")
        self.assertEqual(case.newest.kind, "corrected")
        self.assertEqual(case.newest.drawn_over, ("toy-1",))
        self.assertEqual({key: change.removed for key, change in case.newest.changed_voxels.items()}["ET"], removed)
        self.assertEqual({key: change.added for key, change in case.newest.changed_voxels.items()}["ED"], 0)
        self.assertIn(f"{removed} voxels changed", ui.noticeLabel.text)

    def test_a_correction_names_the_model_of_the_labels_that_were_opened_though_another_predicted_since(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open_next(panel)
        case = library.case("phantom-007-000")
        label = library.read_label(case, case.newest)
        library.add_prediction(case.id, label, case.newest.schema, "toy-2")
        self.clear_segment(node, "ET")
        self.press_accept(panel)
        self.assertEqual(library.case("phantom-007-000").accepted.drawn_over, ("toy-1",))

    def test_labels_come_into_the_scene_voxel_by_voxel_on_the_image_that_is_shown(self):
        from VoxMMSDLib.segments import VALUE, label_array
        from VoxMMSDTrainLib.library_case import reference_of

        library = self.library(accepted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open(panel, "phantom-007-000")
        reference = reference_of(node)
        self.assertEqual(reference.GetName(), "phantom-007-000 t1c")
        (case,) = library.cases()
        kept = slicer.util.loadLabelVolume(str(case.label_file(case.newest)), {"show": False})
        self.assertTrue((label_array(node, reference) == arrayFromVolume(kept)).all())
        segment, value = node.GetSegmentation().GetSegment("ED"), vtk.reference("")
        self.assertTrue(segment.GetTag(VALUE, value))
        self.assertEqual(str(value), "2")
        self.assertIsNotNone(node.GetDisplayNode())

    def test_labels_whose_source_is_a_surface_are_accepted_as_voxels(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open_next(panel)
        removed = self.clear_segment(node, "ET")
        closed = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        node.GetSegmentation().CreateRepresentation(closed)
        node.GetSegmentation().SetSourceRepresentationName(closed)
        self.press_accept(panel)
        changes = library.case("phantom-007-000").newest.changed_voxels
        self.assertEqual(changes["ET"].removed, removed)
        self.assertLess(changes["ED"].removed, removed)

    def test_a_case_is_read_beside_the_window_and_only_put_into_the_scene_in_it(self):
        from VoxMMSDTrainLib import library_case

        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        read, threads = library_case.read_case, []

        def watched(*arguments):
            threads.append(threading.current_thread())
            return read(*arguments)

        with mock.patch.object(library_case, "read_case", watched):
            panel.library.ui.nextButton.click()
            self.assertFalse(panel.library.ui.openButton.enabled or panel.library.ui.nextButton.enabled)
            self.wait_for_work(panel)
        self.assertEqual(len(threads), 1)
        self.assertIsNot(threads[0], threading.main_thread())

    def test_a_case_that_is_open_is_not_opened_once_more_and_what_is_corrected_is_what_is_accepted(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open_next(panel)
        removed = self.clear_segment(node, "ET")
        self.assertIs(self.open_next(panel), node)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 1)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 4)
        self.assertIn("open already", panel.library.ui.noticeLabel.text)
        self.press_accept(panel)
        self.assertIn(f"{removed} voxels changed", panel.library.ui.noticeLabel.text)
        self.assertEqual(library.case("phantom-007-000").newest.kind, "corrected")

    def test_a_case_whose_image_was_deleted_is_made_whole_by_open_and_its_corrections_are_accepted(self):
        library = self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open_next(panel)
        asked, removed = self.answer(False), 0
        for is_all in (False, True):
            removed += self.clear_segment(node, "ED" if is_all else "ET")
            volumes = library_case.opened_volumes()
            kept = None if is_all else volumes["t2f"]
            for volume in list(volumes.values()) if is_all else [library_case.reference_of(node)]:
                slicer.mrmlScene.RemoveNode(volume)
            self.press_accept(panel)
            self.assertIn("open the case again", panel.library.ui.noticeLabel.text)
            self.assertIs(self.open(panel, "phantom-007-000"), node)
            self.assertEqual(library_case.reference_of(node).GetName(), "phantom-007-000 t1c")
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), len(MODALITIES))
            self.assertIn(kept, (None, library_case.opened_volumes()["t2f"]))
            self.press_accept(panel)
            self.assertIn(f"{removed} voxels changed", panel.library.ui.noticeLabel.text)
        self.assertEqual(asked, [])
        self.assertEqual(library.case("phantom-007-000").newest.number, 3)

    def test_a_library_that_is_chosen_in_one_module_is_that_of_the_other_when_it_is_entered(self):
        self.library(predicted=1)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        train.exit()
        segment.enter()
        segment.ui.libraryPath.currentPath = str(self.folder / "of the study")
        segment.exit()
        train.enter()
        self.assertEqual(train.library.folder, self.folder / "of the study")
        self.assertEqual(train.library.ui.casesTable.rowCount, 0)
        train.library.ui.libraryPath.currentPath = str(self.folder / "library")
        self.assertEqual(train.library.ui.casesTable.rowCount, 1)
        train.exit()
        segment.enter()
        self.assertEqual(segment.ui.libraryPath.currentPath, str(self.folder / "library"))
        segment.exit()

    def test_a_library_is_named_by_its_whole_path_or_from_the_home_folder(self):
        """What is relative would come to lie in the folder in which Slicer was started."""
        self.library(predicted=1)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        made, library = phantom_case.phantom(), self.folder / "library"
        segment.parameters.result = phantom_case.add_result(made, phantom_case.add_volumes(made), self.folder)
        segment.ui.caseEdit.setText("site1-008")
        segment.ui.checkedCheck.setChecked(True)
        ui = train.library.ui
        ui.addPath.currentPath = str(self.folder / "cases")
        for path, said in (("corrections", "not a full path"), (" ", "No library is chosen")):
            segment.ui.libraryPath.currentPath = ui.libraryPath.currentPath = path
            self.assertIn(said, ui.noticeLabel.text)
            self.assertEqual(ui.casesTable.rowCount, 0)
            for button in (ui.addButton, ui.nextButton):
                button.click()
                self.assertIn(said, ui.noticeLabel.text)
            segment.ui.acceptButton.click()
            self.assertIn(said, segment.ui.acceptedLabel.text)
            self.assertIsNone(segment.review_tab.accepting)
            self.assertEqual(library_folder.kept(), str(library))
        ui.libraryPath.currentPath = str(library)
        self.assertEqual((ui.noticeLabel.text, ui.casesTable.rowCount), ("", 1))
        ui.libraryPath.currentPath = ""
        self.assertIn("No library is chosen", ui.noticeLabel.text)
        self.assertEqual(ui.casesTable.rowCount, 0)
        with mock.patch.dict(os.environ, {"HOME": str(self.folder), "USERPROFILE": str(self.folder)}):
            ui.libraryPath.currentPath = "~/library"
            self.assertEqual((ui.casesTable.rowCount, ui.noticeLabel.text), (1, ""))
            self.assertEqual((train.library.folder, library_folder.kept()), (library, str(library)))
            ui.noticeLabel.text = "Come back here"
            train.enter()  # it is that folder already
            self.assertEqual((ui.noticeLabel.text, ui.libraryPath.currentPath), ("Come back here", "~/library"))

    def test_a_library_that_is_half_typed_is_not_kept_but_one_that_is_new_is_once_it_is_used(self):
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        kept, field = library_folder.kept(), train.library.ui.libraryPath
        segment.ui.libraryPath.currentPath = field.currentPath = str(self.folder / "new")
        self.assertEqual(library_folder.kept(), kept)
        segment.exit()
        self.assertEqual(library_folder.kept(), str(self.folder / "new"))
        field.currentPath = str(self.folder / "newer")
        train.exit()
        self.assertEqual(library_folder.kept(), str(self.folder / "newer"))

    def test_whoever_comes_back_finds_the_case_chosen_and_can_accept_it(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        self.open(panel, "phantom-007-001")
        panel.exit()
        panel.enter()
        self.assertEqual(ui.casesTable.selectedItems()[0].text(), "phantom-007-001")
        self.assertTrue(ui.acceptButton.enabled)
        panel.showTab("Task")
        panel.showTab("Library")
        self.assertTrue(ui.acceptButton.enabled)
        ui.searchBox.text = "007-000"
        self.assertFalse(ui.acceptButton.enabled)
        ui.searchBox.text = ""
        self.assertTrue(ui.acceptButton.enabled)  # what is open is chosen again

    @slicer_case.needs_main_window
    def test_the_case_before_is_closed_with_its_images_and_leaves_nothing(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        self.open(panel, "phantom-007-000")
        count = slicer.mrmlScene.GetNumberOfNodes()
        self.open(panel, "phantom-007-001")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)
        names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
        self.assertEqual(names, ["phantom-007-001 labels"])
        composite = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        shown = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID())
        self.assertEqual(shown.GetName(), "phantom-007-001 t1c")
        self.open(panel, "phantom-007-000")
        names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
        self.assertEqual(names, [f"phantom-007-000 {name}" for name in MODALITIES])  # without a number, also again

    def test_a_result_of_another_patient_is_hidden_while_a_case_is_open_and_shown_again_in_its_module(self):
        self.library(predicted=2)
        made = phantom_case.phantom()
        result = phantom_case.add_result(made, phantom_case.add_volumes(made), self.folder)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        segment.parameters.result = result
        segment.ui.regionsCheck.click()
        self.open(train, "phantom-007-000")
        labels = library_case.opened_labels("phantom-007-000")
        shown = {"phantom-007-000 labels"}
        self.assertEqual(self.seen(), shown)
        self.assertEqual((segment.ui.resultSelector.nodeCount(), segment.ui.visitSelector.nodeCount()), (1, 1))
        self.assertEqual(results(), [result])
        self.open(train, "phantom-007-001")
        shown = {"phantom-007-001 labels"}
        self.assertEqual(self.seen(), shown)
        segment.enter()
        self.assertEqual(self.seen(), {result.GetName(), regions_node(result).GetName()})
        segment.exit()
        train.enter()
        self.assertEqual(self.seen(), shown)
        result.GetDisplayNode().SetVisibility(True)  # by the user
        segment.enter()
        segment.exit()
        self.assertFalse(slicer.mrmlScene.IsNodePresent(labels))
        self.assertIn(result.GetName(), self.seen())

    @slicer_case.needs_main_window
    def test_a_result_that_arrives_while_a_case_is_open_moves_no_view_and_is_seen_once_its_module_is_entered(self):
        self.library(predicted=1)
        made = phantom_case.phantom()
        volumes = phantom_case.add_volumes(made)
        older = phantom_case.add_result(made, volumes, self.folder)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        segment.parameters.t1c = volumes["t1c"]
        segment.parameters.result = older
        segment.ui.regionsCheck.click()
        self.open(train, "phantom-007-000")
        view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        composite = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        background = composite.GetBackgroundVolumeID()
        composite.SetForegroundVolumeID(background)
        view.SetSliceOffset(-3.0)
        for is_replaced in (False, True):
            images = volumes if is_replaced else phantom_case.add_volumes(made, prefix="visit2")
            arrived = phantom_case.add_result(made, images, self.folder)
            self.assertEqual(self.seen(), {"phantom-007-000 labels"})
            if is_replaced:
                replace_result(older, arrived)
                arrived = older
            at_once(segment.show_new(arrived))
            self.assertIs(segment.parameters.result, arrived)
            self.assertEqual(self.seen(), {"phantom-007-000 labels"})
            self.assertAlmostEqual(view.GetSliceOffset(), -3.0)
            shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            self.assertEqual(shown, (background, background))
        train.exit()
        segment.enter()
        self.assertEqual(self.seen(), {older.GetName(), regions_node(older).GetName()})  # of two results the last one

    @slicer_case.needs_main_window
    def test_the_views_are_given_back_to_the_module_that_is_entered(self):
        self.library(predicted=1)
        made = phantom_case.phantom()
        volumes = phantom_case.add_volumes(made)
        own, case = volumes["t2f"], "phantom-007-000 t1c"
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        red, green = (slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode") for name in ("Red", "Green"))
        view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")

        def shown(composite):
            node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            return node.GetName() if node is not None else None

        red.SetBackgroundVolumeID(own.GetID())
        green.SetBackgroundVolumeID(None)
        view.SetSliceOffset(7.0)
        segment.parameters.t1c = volumes["t1c"]
        self.open(train, "phantom-007-000")
        self.assertEqual([shown(red), shown(green)], [case, case])
        view.SetSliceOffset(-3.0)
        train.exit()
        segment.enter()
        slicer_case.wait_until(lambda: not segment._views_back.is_at_work)
        # As it was; a view that was empty shows what the panel has chosen.
        self.assertEqual([shown(red), shown(green)], [own.GetName(), volumes["t1c"].GetName()])
        self.assertAlmostEqual(view.GetSliceOffset(), 7.0)
        self.assertEqual(self.seen(), set())
        segment.exit()
        train.enter()
        slicer_case.wait_until(lambda: not train._views_back.is_at_work)
        self.assertEqual([shown(red), shown(green)], [case, case])
        self.assertAlmostEqual(view.GetSliceOffset(), -3.0)
        self.assertEqual(self.seen(), {"phantom-007-000 labels"})
        green.SetBackgroundVolumeID(volumes["t2w"].GetID())  # by the user
        train.exit()
        segment.enter()
        segment.exit()
        self.assertEqual([shown(red), shown(green)], [own.GetName(), volumes["t2w"].GetName()])

    @slicer_case.needs_main_window
    def test_a_case_that_is_still_being_opened_when_the_module_is_left_waits_for_its_return(self):
        self.library(predicted=1)
        made = phantom_case.phantom()
        volumes = phantom_case.add_volumes(made)
        result = phantom_case.add_result(made, volumes, self.folder)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        segment.parameters.result = result
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        red.SetBackgroundVolumeID(volumes["t2f"].GetID())
        train.enter()
        with mock.patch("VoxMMSDTrainLib.library.open_editor") as opened:
            train.library.choose("phantom-007-000")
            train.library.ui.correctButton.click()
            self.assertTrue(train.work.is_running)
            train.exit()
            segment.enter()
            self.wait_for_work(train)
            slicer_case.wait_until(lambda: not segment._views_back.is_at_work)
        opened.assert_not_called()
        self.assertIsNotNone(library_case.opened_labels("phantom-007-000"))
        self.assertEqual(self.seen(), {result.GetName()})
        self.assertEqual(red.GetBackgroundVolumeID(), volumes["t2f"].GetID())
        segment.exit()
        train.enter()
        slicer_case.wait_until(lambda: not train._views_back.is_at_work)
        self.assertEqual(self.seen(), {"phantom-007-000 labels"})
        shown = slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID())
        self.assertEqual(shown.GetName(), "phantom-007-000 t1c")

    def test_a_clone_of_the_labels_is_not_taken_for_them_and_stays_when_the_case_goes(self):
        library = self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open(panel, "phantom-007-000")
        clone = slicer_case.clone(node, "mine")
        removed = self.clear_segment(node, "ET")
        self.press_accept(panel)
        self.assertIn(f"{removed} voxels changed", panel.library.ui.noticeLabel.text)
        self.assertEqual(library.case("phantom-007-000").newest.kind, "corrected")
        asked = self.answer(False)
        self.open(panel, "phantom-007-001")
        self.assertEqual(asked, [])
        self.assertEqual(library_case.opened_case(), "phantom-007-001")
        self.assertFalse(slicer.mrmlScene.IsNodePresent(node))
        self.assertTrue(slicer.mrmlScene.IsNodePresent(clone))
        self.open(panel, "phantom-007-000")
        self.assertIsNot(library_case.opened_labels("phantom-007-000"), clone)

    def test_copies_of_the_images_are_the_users_and_stay_when_the_case_goes_also_in_a_scene_that_was_saved(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        for is_loaded in (False, True):
            self.open(panel, "phantom-007-000")
            volumes = library_case.opened_volumes()
            slicer_case.clone(volumes["t2f"], "filtered")
            slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volumes["t1n"], "by volumes")
            if is_loaded:
                slicer.util.saveScene(str(self.folder / "scene.mrb"))
                slicer.mrmlScene.Clear()
                slicer_case.clone(phantom_case.add_volumes(phantom_case.phantom())["t1c"], "other ids")
                slicer.util.loadScene(str(self.folder / "scene.mrb"))
            self.assertEqual(set(library_case.opened_volumes()), set(MODALITIES))
            self.assertEqual(len(library_case.opened_nodes()), 5)
            self.open(panel, "phantom-007-001")
            names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
            self.assertTrue({"filtered", "by volumes"} <= names)
            self.assertFalse([name for name in names if name.startswith("phantom-007-000")])
            copy = slicer.util.getNode("filtered")
            self.assertFalse([name for name in copy.GetAttributeNames() if name.startswith("VoxMMSD.")])
            slicer.mrmlScene.Clear()

    @slicer_case.needs_main_window
    def test_the_case_stays_in_the_views_where_its_own_images_are_chosen_or_none(self):
        self.library(predicted=1)
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        self.open(train, "phantom-007-000")
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        case = red.GetBackgroundVolumeID()
        self.assertTrue(case)
        for chosen in (None, slicer.mrmlScene.GetNodeByID(case)):
            segment.parameters.t1c = chosen
            segment.enter()
            segment.exit()
            self.assertEqual(red.GetBackgroundVolumeID(), case)
            self.assertEqual(self.seen(), {"phantom-007-000 labels"})
            train.enter()
            train.exit()

    def test_labels_stay_in_sight_where_there_is_no_result_to_show_again(self):
        self.library(predicted=1)
        self.open(self.open_panel("VoxMMSDTrain"), "phantom-007-000")
        segment = self.open_panel("VoxMMSDSegment")
        segment.enter()
        segment.exit()
        self.assertEqual(self.seen(), {"phantom-007-000 labels"})

    def test_nodes_of_the_case_before_go_one_at_a_time(self):
        """Each costs Slicer a tenth of a second of its own."""
        self.library(predicted=1)
        self.open_next(self.open_panel("VoxMMSDTrain"))
        counts, answer = [], None
        steps = library_case.close_case()
        with suppress(StopIteration):
            while True:
                asked = steps.send(answer)
                answer = asked() if asked is not None else None
                counts.append(len(library_case.opened_nodes()))
        self.assertEqual(counts[-6:], [5, 4, 3, 2, 1, 0])

    def test_corrections_that_are_not_accepted_are_not_lost_without_a_question(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open(panel, "phantom-007-000")
        self.clear_segment(node, "ET")
        asked = self.answer(False)
        self.open(panel, "phantom-007-001")
        self.assertEqual(len(asked), 1)
        self.assertIn("phantom-007-000", asked[0])
        self.assertIn("stays open", panel.library.ui.noticeLabel.text)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0], node)
        self.assertEqual(panel.library.ui.casesTable.selectedItems()[0].text(), "phantom-007-000")
        self.press_accept(panel)
        self.open(panel, "phantom-007-001")
        self.assertEqual(len(asked), 1)  # accepted: nothing is lost any more
        self.assertFalse(slicer.mrmlScene.IsNodePresent(node))

    def test_a_segment_that_was_added_is_not_lost_without_a_question_and_accept_says_that_it_is_left_out(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open(panel, "phantom-007-000")
        node.GetSegmentation().AddEmptySegment("", "Segment_1")
        asked = self.answer(False)
        self.open(panel, "phantom-007-001")
        self.assertEqual(asked, [])  # nothing is in it
        node = self.open(panel, "phantom-007-000")
        added = node.GetSegmentation().AddEmptySegment("", "Segment_1")
        reference = library_case.reference_of(node)
        ball = np.zeros(arrayFromVolume(reference).shape, bool)
        ball[4:8, 4:8, 4:8] = True
        segments.set_mask(node, added, ball, reference)
        self.open(panel, "phantom-007-001")
        self.assertEqual(len(asked), 1)
        self.assertIn("Segment_1", asked[0])
        self.assertTrue(slicer.mrmlScene.IsNodePresent(node))
        panel.library.ui.acceptButton.click()
        self.wait_for_work(panel)
        self.assertIn("as they were opened", asked[1])
        self.assertIn("Left out, because the labels have no such tissue: Segment_1.", asked[1])
        self.clear_segment(node, "ET")
        self.press_accept(panel)
        self.assertIn("Left out, because the labels have no such tissue: Segment_1.", panel.library.ui.noticeLabel.text)

    def test_a_case_of_another_library_is_asked_about_only_where_its_labels_were_changed(self):
        self.library(predicted=2)
        panel = self.open_panel("VoxMMSDTrain")
        first = self.folder / "first library"
        (self.folder / "library").rename(first)
        self.library(predicted=2)  # another one, of the same cases
        asked = self.answer(False)

        self.use_library(panel, first)
        self.open(panel, "phantom-007-000")
        self.use_library(panel, self.folder / "library")
        node = self.open(panel, "phantom-007-000")
        self.assertEqual(asked, [])  # untouched
        self.assertNotIn("already", panel.library.ui.noticeLabel.text)
        self.clear_segment(node, "ET")
        self.press_accept(panel)
        self.use_library(panel, first)
        node = self.open(panel, "phantom-007-001")
        self.assertEqual(asked, [])  # accepted
        self.clear_segment(node, "ET")
        self.use_library(panel, self.folder / "library")
        self.open(panel, "phantom-007-000")
        self.assertEqual(len(asked), 1)
        self.assertIn("phantom-007-001", asked[0])

    def test_a_case_without_labels_is_closed_without_a_question_until_it_is_labeled(self):
        self.library(unlabeled=2)
        panel = self.open_panel("VoxMMSDTrain")
        asked = self.answer(False)
        self.open(panel, "phantom-007-000")
        node = self.open(panel, "phantom-007-001")
        self.assertEqual(asked, [])
        self.fill_segment(node, "ET")
        self.open(panel, "phantom-007-000")
        self.assertEqual(len(asked), 1)

    def test_labels_of_another_place_or_class_are_other_labels(self):
        labels = np.zeros((3, 4, 5), np.uint8)
        self.assertEqual(library_case.fingerprint(labels), library_case.fingerprint(None))
        labels[1, 2, 3] = 1
        others = (labels, 2 * labels, np.roll(labels, 1, axis=2), None)
        self.assertEqual(len({library_case.fingerprint(other) for other in others}), len(others))

    def test_labels_that_nobody_drew_are_accepted_on_purpose_only(self):
        library = self.library(predicted=1, unlabeled=1)
        panel = self.open_panel("VoxMMSDTrain")
        asked = self.answer(False)
        for case_id, said in (("phantom-007-001", "no voxel is labeled"), ("phantom-007-000", "as they were opened")):
            self.open(panel, case_id)
            asked.clear()
            self.press_accept(panel)
            self.assertEqual(len(asked), 1)
            self.assertIn(said, asked[0])
            self.assertIn("nothing was accepted", panel.library.ui.noticeLabel.text)
            self.assertIsNone(library.case(case_id).accepted)
        self.answer(True)
        self.press_accept(panel)
        self.assertIsNotNone(library.case("phantom-007-000").accepted)

    def test_correct_opens_the_segment_editor_on_this_case_over_the_contrast_enhanced_image(self):
        self.library(predicted=1)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of somebody else")
        with self.main_window():
            slicer.util.selectModule("VoxMMSDTrain")
            panel = slicer.util.getModuleWidget("VoxMMSDTrain")
            panel.library.ui.libraryPath.currentPath = str(self.folder / "library")
            panel.showTab("Library")
            ui = panel.library.ui
            ui.casesTable.selectRow(0)
            ui.correctButton.click()
            self.wait_for_work(panel)
            self.assertEqual(slicer.util.selectedModule(), "SegmentEditor")
            editor = slicer.util.getModuleWidget("SegmentEditor").editor
            self.assertEqual(editor.segmentationNode().GetName(), "phantom-007-000 labels")
            self.assertEqual(editor.sourceVolumeNode().GetName(), "phantom-007-000 t1c")
            slicer.util.selectModule("VoxMMSDTrain")
            self.assertTrue(ui.acceptButton.enabled)
            self.assertIn("press Accept correction", ui.noticeLabel.text)

    def test_without_a_main_window_correct_says_so(self):
        if slicer.util.mainWindow() is not None:
            self.skipTest("there is one")
        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        panel.library.ui.casesTable.selectRow(0)
        panel.library.ui.correctButton.click()
        self.wait_for_work(panel)
        self.assertIn("no main window", panel.library.ui.noticeLabel.text)

    def test_a_scene_that_is_closed_meanwhile_gets_nothing_more(self):
        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        panel.library.ui.nextButton.click()
        slicer.mrmlScene.Clear()
        for _turn in range(20):
            slicer.app.processEvents()
            time.sleep(0.02)
        self.assertFalse(panel.work.is_running)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), [])
        self.open_next(panel)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 1)

    def test_a_case_that_came_with_a_loaded_scene_is_chosen_and_can_be_accepted(self):
        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        ui = panel.library.ui
        self.open_next(panel)
        ui.casesTable.clearSelection()
        self.assertFalse(ui.acceptButton.enabled)
        slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
        self.assertTrue(ui.acceptButton.enabled)

    def test_a_scene_that_is_saved_carries_no_path_of_the_library(self):
        self.library(predicted=1)
        panel = self.open_panel("VoxMMSDTrain")
        node = self.open_next(panel)
        values = [node.GetAttribute(name) for name in node.GetAttributeNames()]
        self.assertFalse([value for value in values if str(self.folder) in value])

    def open(self, panel, case_id):
        """Choose a case and press Open; its labels, or those that stayed open."""
        panel.library.choose(case_id)
        panel.library.ui.openButton.click()
        self.wait_for_work(panel)
        return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")

    def open_next(self, panel):
        panel.library.ui.nextButton.click()
        self.wait_for_work(panel)
        return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")

    def seen(self):
        """Names of the segmentations that are shown."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return {node.GetName() for node in nodes if node.GetDisplayNode() and node.GetDisplayNode().GetVisibility()}

    def use_library(self, panel, folder):
        panel.library.ui.libraryPath.currentPath = str(folder)
        self.wait_for_work(panel)

    def press_accept(self, panel):
        self.assertTrue(panel.library.ui.acceptButton.enabled)
        panel.library.ui.acceptButton.click()
        self.wait_for_work(panel)

    def clear_segment(self, node, segment_id):
        """Leave no voxel of a segment; how many it had."""
        from VoxMMSDLib.segments import mask_of

        count = int(mask_of(node, [segment_id], library_case.reference_of(node)).sum())
        self.set_segment(node, segment_id, 0)
        return count

    def fill_segment(self, node, segment_id):
        self.set_segment(node, segment_id, 1)

    def set_segment(self, node, segment_id, value):
        """Give every voxel of the image the same value in a segment: 0 or 1."""
        from VoxMMSDLib.segments import set_mask

        reference = library_case.reference_of(node)
        set_mask(node, segment_id, (0 * arrayFromVolume(reference) + value).astype("uint8"), reference)
