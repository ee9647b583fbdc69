"""A result is what the core said, its regions and volumes follow every edit, and what is kept is what was drawn."""

import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import slicer_case
import vtk
from phantom_case import PLACES, add_result, add_volumes, paint, phantom, result_files, table_rows, true_ml
from slicer_case import clone, wait_until

from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, SCHEMAS
from voxmmsd.library import open_library
from VoxMMSDLib.background import at_once
from VoxMMSDLib.segments import MODEL, VALUE, label_array, mask_of, set_mask, value_of
from VoxMMSDLib.volumes import export_mask
from VoxMMSDSegmentLib.case import SlicerCase
from VoxMMSDSegmentLib.case_folders import CaseFolders
from VoxMMSDSegmentLib.diameter_lines import find_lines, lines_of, show_lines
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.regions import rebuild, regions_node, table_node
from VoxMMSDSegmentLib.result import (
    belonging,
    input_of,
    last_result_of,
    make_result,
    reference_of,
    replace_result,
    result_steps,
    results,
    step_of,
)
from VoxMMSDSegmentLib.rounds import FINGERPRINTS, PREDICTED_LABELS, has_base
from VoxMMSDSegmentLib.saving import writes_for_library
from VoxMMSDSegmentLib.sights import center_3d


class ResultTest(slicer_case.ModuleTest):
    """Nodes, without a panel."""

    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.volumes = add_volumes(self.made)
        self.reference = self.volumes["t1c"]
        self.result = add_result(self.made, self.volumes, self.folder)
        self.segmentation = self.result.GetSegmentation()

    def ball(self, radius=4):
        z, y, x = np.ogrid[tuple(slice(0, n) for n in self.made.label_zyx.shape)]
        return (z - 24) ** 2 + (y - 24) ** 2 + (x - 24) ** 2 <= radius**2

    def test_segments_hold_the_labels_voxel_by_voxel(self):
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))

    def test_where_segments_overlap_the_inner_tissue_has_the_voxel_whatever_their_order(self):
        ball, value = self.ball(), self.made.schema.label("ET").value
        for key in ("ET", "ED", "NCR"):
            set_mask(self.result, key, mask_of(self.result, [key], self.reference) | ball, self.reference)
        for order in (("ET", "ED", "NCR"), ("NCR", "ET", "ED")):
            for place, key in enumerate(order):
                self.segmentation.SetSegmentIndex(key, place)
            self.assertTrue((label_array(self.result, self.reference)[ball] == value).all())

    def make_source(self, representation):
        """What Segmentations > Representations > Make source does: the other representations go."""
        self.segmentation.CreateRepresentation(representation)
        self.segmentation.SetSourceRepresentationName(representation)

    def test_segments_whose_source_is_a_surface_are_counted_kept_and_changed_all_the_same(self):
        closed = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        predicted = table_rows(table_node(self.result))
        self.make_source(closed)
        rebuild(self.result, self.reference)
        for was, now in zip(predicted, table_rows(table_node(self.result)), strict=True):
            self.assertAlmostEqual(float(now[2]), float(was[2]), delta=0.15 * float(was[2]))  # surfaces are smooth
        self.make_source(closed)
        file = self.folder / "labels.nii.gz"
        VoxMMSDSegmentLogic().save_result(self.result, file)
        kept, true = read_volume(Source(file)).array, self.made.label_zyx
        self.assertGreater(((kept == true) & (true > 0)).sum(), 0.95 * (true > 0).sum())
        self.make_source(closed)
        set_mask(self.result, "ET", self.ball(), self.reference)
        self.assertTrue(np.array_equal(mask_of(self.result, ["ET"], self.reference), self.ball()))
        self.assertGreater(mask_of(self.result, ["ED"], self.reference).sum(), 100)

    def test_segments_that_cannot_become_voxels_are_refused_in_a_sentence(self):
        self.segmentation.RemoveAllSegments()
        segment = slicer.vtkSegment()
        segment.AddRepresentation("A strange one", vtk.vtkPolyData())
        self.segmentation.SetSourceRepresentationName("A strange one")
        self.segmentation.AddSegment(segment, "ET")
        with self.assertRaisesRegex(InputError, "cannot be turned into voxels"):
            label_array(self.result, self.reference)
        with self.assertRaisesRegex(InputError, "cannot be turned into voxels"):
            set_mask(self.result, "ET", self.ball(), self.reference)

    def test_segments_have_the_schemas_names_colors_and_codes(self):
        for label in self.made.schema.labels:
            segment = self.segmentation.GetSegment(label.key)
            self.assertEqual(segment.GetName(), label.name)
            self.assertEqual(tuple(round(255 * value) for value in segment.GetColor()), label.color)
            entry = slicer.vtkSlicerTerminologyEntry()
            tag = vtk.reference("")
            self.assertTrue(segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag))
            self.assertTrue(slicer.modules.terminologies.logic().DeserializeTerminologyEntry(str(tag), entry))
            kind = entry.GetTypeObject()
            self.assertEqual((kind.GetCodingSchemeDesignator(), kind.GetCodeValue(), kind.GetCodeMeaning()),
                             (label.terminology.scheme, label.terminology.code, label.terminology.meaning))  # fmt: skip
            self.assertEqual(entry.GetRegionObject().GetCodeValue(), "12738006")

    def test_every_schema_can_be_a_result(self):
        for schema in SCHEMAS.values():
            self.assertTrue(all(label.terminology.code for label in schema.labels))

    def test_dicom_seg_export_finds_the_result_in_the_inputs_study_with_its_geometry(self):
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "P1"), "S1")
        tree.SetItemParent(tree.GetItemByDataNode(self.reference), study)
        again = add_result(self.made, self.volumes, self.folder)
        self.assertEqual(tree.GetItemParent(tree.GetItemByDataNode(again)), study)
        self.assertIs(reference_of(again), self.reference)
        self.assertEqual(
            again.GetSegmentation().GetConversionParameter("Reference image geometry").split(";")[:3],
            self.segmentation.GetConversionParameter("Reference image geometry").split(";")[:3],
        )

    def test_the_table_has_predicted_and_present_volumes(self):
        true = true_ml(self.made)
        rows = {row[0]: row[1:] for row in table_rows(table_node(self.result))}
        self.assertEqual(rows["Edema"], [f"{true['ED']:.2f}"] * 2)
        self.assertEqual(rows["Whole tumor"], [f"{true['WT']:.2f}"] * 2)
        self.assertEqual(rows["Tumor core"], [f"{true['TC']:.2f}"] * 2)

    def test_painting_over_everything_leaves_the_regions_whole(self):
        whole = mask_of(regions_node(self.result), ["WT"], self.reference)
        self.assertTrue(np.array_equal(whole, self.made.label_zyx > 0))
        paint(self.result, "ET", self.ball(), self.reference)
        rebuild(self.result, self.reference)
        after = mask_of(regions_node(self.result), ["WT"], self.reference)
        self.assertTrue(np.array_equal(after, whole | self.ball()))
        self.assertTrue(mask_of(regions_node(self.result), ["TC"], self.reference)[self.ball()].all())

    def nodes(self):
        """Ids of all that is in the scene."""
        return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}

    def test_a_result_that_is_stopped_while_it_is_made_takes_back_its_nodes(self):
        from VoxMMSDSegmentLib.case import SlicerCase

        files = result_files(self.made, self.folder)
        before = self.nodes()
        for number in (1, 2, 3, 5, 9):
            steps = result_steps(SlicerCase(self.volumes), files)
            answer = None
            for _ in range(number):
                asked = steps.send(answer)
                answer = asked() if asked is not None else None
            self.assertGreater(len(self.nodes()), len(before))
            steps.close()
            self.assertEqual(self.nodes(), before)

    def test_volumes_of_images_under_a_transform_that_scales_are_those_of_the_world(self):
        scaling = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        scaling.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 1.0, -1.5, 1.0])))
        for volume in self.volumes.values():
            volume.SetAndObserveTransformNodeID(scaling.GetID())
        result, true = add_result(self.made, self.volumes, self.folder), true_ml(self.made)
        rows = dict(zip(("NCR", "ED", "ET", "WT", "TC"), table_rows(table_node(result)), strict=True))
        for key, (_name, _predicted, now) in rows.items():
            self.assertAlmostEqual(float(now), 3 * true[key], delta=0.01, msg=key)

    def test_saving_leaves_no_node(self):
        before = self.nodes()
        VoxMMSDSegmentLogic().save_result(self.result, self.folder / "labels.nii.gz")
        self.assertEqual(self.nodes(), before)

    def test_what_is_replaced_goes_with_all_that_belonged_to_it(self):
        count = len(self.nodes())
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        self.assertEqual(len(self.nodes()), count)

    def test_a_brain_mask_given_as_a_segmentation_is_all_its_segments_and_leaves_no_node(self):
        self.result.GetDisplayNode().SetSegmentVisibility("ED", False)
        before = self.nodes()
        file = export_mask(self.result, self.reference, self.folder / "mask.nii")
        self.assertEqual(self.nodes(), before)
        mask = slicer.util.arrayFromVolume(slicer.util.loadLabelVolume(str(file))) > 0
        self.assertTrue(np.array_equal(mask, self.made.label_zyx > 0))

    def test_a_region_that_the_user_took_away_does_not_come_back(self):
        regions = regions_node(self.result).GetSegmentation()
        regions.RemoveSegment("WT")
        rebuild(self.result, self.reference)
        self.assertEqual(list(regions.GetSegmentIDs()), ["TC"])
        rows = {row[0]: row[1:] for row in table_rows(table_node(self.result))}
        self.assertEqual(rows["Whole tumor"][1], f"{true_ml(self.made)['WT']:.2f}")

    def test_a_hidden_segment_is_read_like_the_others(self):
        self.result.GetDisplayNode().SetSegmentVisibility("ED", False)
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))

    def test_a_segment_that_the_user_added_changes_no_label(self):
        self.segmentation.AddEmptySegment("mine", "Mine")
        set_mask(self.result, "mine", self.ball(), self.reference)
        rebuild(self.result, self.reference)
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))

    def test_a_renamed_segment_keeps_its_meaning(self):
        self.segmentation.GetSegment("ED").SetName("swelling")
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))

    def test_an_emptied_segment_counts_nothing(self):
        set_mask(self.result, "ET", np.zeros(self.made.label_zyx.shape, bool), self.reference)
        rebuild(self.result, self.reference)
        rows = {row[0]: row[1:] for row in table_rows(table_node(self.result))}
        self.assertEqual(rows["Enhancing tumor"][1], "0.00")
        self.assertNotEqual(rows["Enhancing tumor"][0], "0.00")

    def test_saved_labels_are_read_back_the_same(self):
        for name in ("labels.nii.gz", "labels.nrrd"):
            VoxMMSDSegmentLogic().save_result(self.result, self.folder / name)
            node = slicer.util.loadLabelVolume(str(self.folder / name))
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), self.made.label_zyx))

    def test_accepting_writes_brain_and_corrected_labels_and_no_name(self):
        from voxmmsd.library import open_library

        paint(self.result, "ET", self.ball(), self.reference)
        version = VoxMMSDSegmentLogic().accept(self.result, self.folder / "library", "site1-007")
        library = open_library(self.folder / "library")
        case = library.case("site1-007")
        self.assertEqual(set(case.modalities), {"t1n", "t1c", "t2w", "t2f"})
        self.assertEqual((version.kind, version.drawn_over), ("corrected", ("toy-model-1",)))
        self.assertTrue(
            np.array_equal(library.read_label(case, version).array, label_array(self.result, self.reference))
        )
        self.assertGreater(version.changed_voxels["ET"].added, 0)
        written = b"".join(file.read_bytes() for file in (self.folder / "library").rglob("*.json"))
        self.assertNotIn(b"visit1", written)
        self.assertNotIn(str(self.folder).encode(), written)

    def test_a_result_whose_image_was_deleted_says_so(self):
        slicer.mrmlScene.RemoveNode(self.reference)
        with self.assertRaisesRegex(Exception, "no longer in the scene"):
            VoxMMSDSegmentLogic().save_result(self.result, self.folder / "labels.nrrd")

    def test_a_result_is_not_accepted_short_of_an_image_that_it_was_made_from(self):
        self.result.SetAttribute(FINGERPRINTS, json.dumps(dict.fromkeys(self.volumes, "of each")))
        library, logic = self.folder / "library", VoxMMSDSegmentLogic()
        slicer.mrmlScene.RemoveNode(self.volumes["t2w"])
        with self.assertRaisesRegex(InputError, "the image given as T2 is no longer in the scene") as raised:
            logic.accept(self.result, library, "site1-001")
        self.assertIn("segment the images again", raised.exception.remedy)  # loaded again, it is another node
        self.assertFalse(library.exists())

    def test_replacing_changes_the_last_result_of_the_same_images_and_keeps_what_the_user_added(self):
        paint(self.result, "ET", self.ball(), self.reference)
        self.segmentation.AddEmptySegment("mine", "Mine")
        again = add_result(self.made, self.volumes, self.folder)
        self.assertIs(last_result_of(self.volumes, but=again), self.result)
        self.assertIsNone(last_result_of({"t1c": self.reference}))
        nodes = len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        replace_result(self.result, again)
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))
        self.assertIsNotNone(self.segmentation.GetSegment("mine"))
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), nodes - 2)
        whole = mask_of(regions_node(self.result), ["WT"], self.reference)
        self.assertTrue(np.array_equal(whole, self.made.label_zyx > 0))

    def aligned_result(self, shift=100):
        """A result whose FLAIR was aligned: as it was segmented, it is brighter by ``shift``."""
        image = self.made.image_czyx[MODALITIES.index("t2f")] + shift
        write_nifti(self.folder / "t2f.nii.gz", image, self.made.grid)
        files = replace(result_files(self.made, self.folder), images={"t2f": self.folder / "t2f.nii.gz"})
        return make_result(SlicerCase(self.volumes), files)

    def kept_flair(self):
        """What the training library would be given."""
        _options, writes = at_once(writes_for_library(self.result, self.folder / "kept"))
        for write in writes:
            write()
        return read_volume(Source(self.folder / "kept" / "case" / "t2f.nii")).array

    def test_what_is_replaced_with_images_that_were_aligned_is_kept_with_them_and_the_other_way_round(self):
        raw = self.made.image_czyx[MODALITIES.index("t2f")]
        folders = CaseFolders()
        before = folders.of(self.result).folder
        replace_result(self.result, self.aligned_result())
        self.assertTrue(slicer.mrmlScene.IsNodePresent(step_of(self.result, "t2f")))
        self.assertIn(step_of(self.result, "t2f"), belonging(self.result))
        self.assertTrue(np.allclose(self.kept_flair(), raw + 100, atol=1e-2))
        self.assertNotEqual(folders.of(self.result).folder, before)  # features of the images as they were
        folders.clear()
        step = step_of(self.result, "t2f").GetID()
        replace_result(self.result, self.aligned_result(200))
        self.assertTrue(np.allclose(self.kept_flair(), raw + 200, atol=1e-2))
        self.assertIsNone(slicer.mrmlScene.GetNodeByID(step))
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        self.assertIsNone(step_of(self.result, "t2f"))
        self.assertTrue(np.allclose(self.kept_flair(), raw, atol=1e-2))

    def test_replacing_brings_back_a_tissue_whose_segment_the_user_had_removed(self):
        self.segmentation.RemoveSegment("ET")
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        self.assertTrue(np.array_equal(label_array(self.result, self.reference), self.made.label_zyx))
        label, segment = self.made.schema.label("ET"), self.segmentation.GetSegment("ET")
        self.assertEqual((segment.GetName(), value_of(segment)), (label.name, label.value))

    def test_a_result_on_another_grid_or_of_other_tissues_does_not_replace_the_last_one(self):
        files = result_files(self.made, self.folder)
        of_flair = make_result(SlicerCase(self.volumes, reference="t2f"), files)
        self.assertIsNone(last_result_of(self.volumes, but=of_flair))
        with self.assertRaisesRegex(InputError, "another voxel grid"):
            replace_result(self.result, of_flair)
        slicer.mrmlScene.RemoveNode(of_flair)
        again = add_result(self.made, self.volumes, self.folder)
        again.SetAttribute("VoxMMSD.Schema", "brats-gli-2024")
        self.assertIsNone(last_result_of(self.volumes, but=again))
        with self.assertRaisesRegex(InputError, "other tissues"):
            replace_result(self.result, again)

    def test_nothing_of_files_or_folders_is_left_in_the_nodes(self):
        names = (MODEL, "VoxMMSD.Schema", "VoxMMSD.Review")
        texts = [self.result.GetAttribute(name) or "" for name in names]
        self.assertFalse([text for text in texts if str(self.folder) in text])
        self.assertTrue(self.segmentation.GetSegment("ET").HasTag(VALUE))


class ReviewPanelTest(slicer_case.ModuleTest):
    """The second tab, by its widgets."""

    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.volumes = add_volumes(self.made)
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.tab = self.panel.ui, self.panel.review_tab
        self.result = add_result(self.made, self.volumes, self.folder)
        self.panel.parameters.result = self.result

    def composites(self):
        return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")

    def test_the_result_of_a_scene_that_is_loaded_can_be_edited_whether_it_replaces_another_scene_or_not(self):
        """At the end of an import the segment editor follows its own list, which had no row of the result before."""
        self.panel.enter()
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        name = self.result.GetName()
        for replaces in (False, True):
            if not replaces:
                slicer.mrmlScene.Clear()
            slicer.util.loadScene(str(self.folder / "scene.mrb"), {"clear": replaces})
            result = slicer.util.getNode(name)
            slicer_case.wait_until(lambda: self.ui.segmentEditor.segmentationNode() is not None, 10)
            self.assertIs(self.ui.segmentEditor.segmentationNode(), result)
            self.assertIs(self.ui.segmentEditor.sourceVolumeNode(), reference_of(result))
            self.assertIs(self.ui.resultSelector.currentNode(), result)

    def test_an_older_result_that_is_chosen_is_seen_in_place_of_the_newer_one_with_its_diameters(self):
        older, newer = self.result, add_result(self.made, self.volumes, self.folder)
        lesions = find_lines(self.made.label_zyx, self.made.schema, self.made.grid.affine_xyz)
        self.panel.parameters.result = newer
        self.panel.enter()
        at_once(show_lines(newer, lesions))

        def seen():
            nodes = [older, newer, *lines_of(newer)[:1]]
            return [bool(node.GetDisplayNode().GetVisibility()) for node in nodes]

        self.assertEqual(seen(), [False, True, True])
        self.ui.resultSelector.setCurrentNode(older)
        self.assertEqual(seen(), [True, False, False])
        self.ui.resultSelector.setCurrentNode(newer)
        self.assertEqual(seen(), [False, True, True])
        older.GetDisplayNode().SetVisibility(True)  # both, by the user
        self.ui.resultSelector.setCurrentNode(older)
        self.assertEqual(seen(), [True, True, True])
        self.panel.exit()

    def test_a_double_click_on_a_segment_cannot_drop_its_term(self):
        tables = slicer.util.findChildren(self.ui.segmentEditor, name="SegmentsTableView")
        self.assertEqual([table.useTerminologySelector for table in tables], [False])
        self.assertFalse(tables[0].terminologySelectorOptionVisible)

    def test_an_edit_moves_the_volumes_after_a_moment(self):
        before = table_rows(table_node(self.result))
        empty = np.zeros(self.made.label_zyx.shape, bool)
        set_mask(self.result, "ED", empty, self.volumes["t1c"])
        wait_until(lambda: table_rows(table_node(self.result)) != before)
        rows = {row[0]: row[1:] for row in table_rows(table_node(self.result))}
        self.assertEqual(rows["Edema"][1], "0.00")
        self.assertEqual(rows["Whole tumor"][1], rows["Tumor core"][1])

    @slicer_case.needs_main_window
    def test_the_overlay_gives_back_the_users_views(self):
        composites = self.composites()
        composites[0].SetForegroundVolumeID(self.volumes["t2f"].GetID())
        composites[0].SetForegroundOpacity(0.3)
        before = [(node.GetForegroundVolumeID(), node.GetForegroundOpacity()) for node in composites]
        self.ui.overlayCheck.click()
        shown = {node.GetForegroundVolumeID() for node in composites}
        self.assertEqual(shown, {self.result.GetNodeReferenceID("VoxMMSD.Uncertainty")})
        self.ui.thresholdSlider.value = 0.6
        display = self.result.GetNodeReference("VoxMMSD.Uncertainty").GetDisplayNode()
        self.assertAlmostEqual(display.GetLowerThreshold(), 0.6)
        self.ui.overlayCheck.click()
        self.assertEqual([(n.GetForegroundVolumeID(), n.GetForegroundOpacity()) for n in composites], before)

    def test_names_of_tissues_are_written_in_one_line_and_leave_room_for_the_numbers(self):
        view = self.ui.volumesView
        needed = view.fontMetrics().horizontalAdvance("Enhancing tumor")
        self.assertGreater(view.columnWidth(0), needed)
        self.assertLessEqual(view.columnWidth(0), 150)

    @slicer_case.needs_main_window
    def test_what_the_user_put_into_a_view_while_the_overlay_was_on_stays_there(self):
        composites = self.composites()
        self.ui.overlayCheck.click()
        composites[0].SetForegroundVolumeID(self.volumes["t2w"].GetID())
        composites[0].SetForegroundOpacity(0.4)
        self.ui.overlayCheck.click()
        self.assertEqual(composites[0].GetForegroundVolumeID(), self.volumes["t2w"].GetID())
        self.assertAlmostEqual(composites[0].GetForegroundOpacity(), 0.4)
        self.assertEqual({node.GetForegroundVolumeID() for node in composites[1:]}, {None})

    @slicer_case.needs_main_window
    def test_the_overlay_is_off_at_first_and_when_the_module_is_left(self):
        self.assertFalse(self.ui.overlayCheck.checked)
        self.ui.overlayCheck.click()
        self.panel.exit()
        self.assertFalse(self.ui.overlayCheck.checked)
        self.assertEqual({node.GetForegroundVolumeID() for node in self.composites()}, {None})

    @slicer_case.needs_main_window
    def test_next_place_goes_through_the_list_and_shows_each_in_all_views(self):
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        for place in (*PLACES, PLACES[0]):
            self.ui.nextPlaceButton.click()
            self.assertAlmostEqual(red.GetSliceToRAS().GetElement(2, 3), place["position_ras_mm"][2])

    def test_places_cannot_be_dragged(self):
        places = self.result.GetNodeReference("VoxMMSD.Places")
        self.assertTrue(places.GetLocked())
        self.assertIn("Enhancing tumor or not tumor", places.GetNthControlPointLabel(0))

    def test_a_place_that_was_deleted_does_not_come_back_with_the_next_stroke(self):
        places = self.result.GetNodeReference("VoxMMSD.Places")
        places.RemoveNthControlPoint(0)
        left = places.GetNthControlPointLabel(0)
        paint(self.result, "ET", self.made.label_zyx == 2, self.volumes["t1c"])
        self.tab.rebuild_now()
        self.assertEqual(places.GetNumberOfControlPoints(), len(PLACES) - 1)
        self.assertEqual(places.GetNthControlPointLabel(0), left)
        slicer.mrmlScene.RemoveNode(places)
        self.tab.rebuild_now()
        self.assertIsNone(self.result.GetNodeReference("VoxMMSD.Places"))

    def test_the_image_that_was_chosen_to_threshold_stays_if_it_is_one_of_the_result(self):
        editor = self.ui.segmentEditor
        for name, shown in (("SourceVolumeNodeComboBox", True), ("SpecifyGeometryButton", False)):
            for widget in slicer.util.findChildren(editor, name=name):  # none in the headless host
                self.assertEqual(widget.isVisibleTo(editor), shown)
        other = add_volumes(self.made, prefix="visit2")["t2f"]
        for chosen, kept in ((self.volumes["t2f"], "t2f"), (other, "t1c"), (None, "t1c")):
            editor.setSourceVolumeNode(chosen)
            self.panel.exit()
            self.panel.enter()
            self.assertIs(editor.sourceVolumeNode(), self.volumes[kept])

    def test_the_editor_works_on_the_result_and_undo_brings_it_back(self):
        editor = self.ui.segmentEditor
        self.assertIs(editor.segmentationNode(), self.result)
        self.assertIs(editor.sourceVolumeNode(), self.volumes["t1c"])
        before = label_array(self.result, self.volumes["t1c"])
        editor.saveStateForUndo()
        set_mask(self.result, "ED", np.zeros(before.shape, bool), self.volumes["t1c"])
        editor.undo()
        self.assertTrue(np.array_equal(label_array(self.result, self.volumes["t1c"]), before))

    @slicer_case.needs_main_window
    def test_leaving_the_module_leaves_no_effect_active(self):
        self.ui.segmentEditor.setActiveEffectByName("Paint")
        self.panel.exit()
        self.assertIsNone(self.ui.segmentEditor.activeEffect())

    @slicer_case.needs_main_window
    def test_no_effect_and_no_shortcut_works_in_a_tab_where_the_editor_is_not_seen(self):
        editor, tabs = self.ui.segmentEditor, self.ui.tabs
        self.panel.enter()
        self.assertFalse(_has_shortcuts(editor))
        tabs.setCurrentWidget(self.ui.reviewTab)
        self.assertTrue(_has_shortcuts(editor))
        editor.setActiveEffectByName("Paint")
        for other in (self.ui.segmentTab, self.ui.followTab):
            tabs.setCurrentWidget(other)
            self.assertIsNone(editor.activeEffect())
            self.assertFalse(_has_shortcuts(editor))
            tabs.setCurrentWidget(self.ui.reviewTab)
            self.assertTrue(_has_shortcuts(editor))
            editor.setActiveEffectByName("Paint")
        self.panel.exit()
        self.assertFalse(_has_shortcuts(editor))
        tabs.setCurrentWidget(self.ui.segmentTab)
        tabs.setCurrentWidget(self.ui.reviewTab)
        self.assertFalse(_has_shortcuts(editor))

    def test_accepting_needs_a_code_and_a_name_is_refused(self):
        self.ui.libraryPath.currentPath = str(self.folder / "library")
        self.ui.checkedCheck.setChecked(True)
        self.assertFalse(self.ui.acceptButton.enabled)
        self.assertIn("code first", self.ui.acceptButton.toolTip)
        self.ui.caseEdit.setText("Miller")
        self.assertIn("training library", self.ui.acceptButton.toolTip)
        with self.assertRaisesRegex(Exception, "must be a code"):
            self.tab.accept()
        self.ui.acceptButton.click()
        self.assertIn("must be a code", self.ui.acceptedLabel.text)
        self.ui.caseEdit.setText("site1-008")
        self.ui.acceptButton.click()
        self.assertFalse(self.ui.acceptButton.enabled)
        self.assertIn("being written", self.ui.acceptedLabel.text)
        wait_until(lambda: self.tab.accepting is None)
        self.assertIn("Accepted as label 2", self.ui.acceptedLabel.text)
        self.assertTrue(self.ui.acceptButton.enabled)
        self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])

    def test_labels_that_nobody_changed_are_accepted_after_a_question_or_a_tick(self):
        asked, started = [], []
        no = mock.patch.object(slicer.util, "confirmYesNoDisplay", lambda text, *_, **__: bool(asked.append(text)))
        with no, mock.patch.object(self.tab, "accept", lambda: started.append(True)):
            self.ui.caseEdit.setText("site1-008")
            self.ui.acceptButton.click()
            self.assertEqual((len(asked), started), (1, []))
            self.assertIn("exactly as the model predicted them", asked[0])
            self.ui.checkedCheck.click()
            self.ui.acceptButton.click()
            self.assertEqual((len(asked), started), (1, [True]))
            self.ui.checkedCheck.click()
            paint(self.result, "ET", self.made.label_zyx == 0, self.volumes["t1c"])
            self.ui.acceptButton.click()
            self.assertEqual((len(asked), started), (1, [True, True]))
            for key in self.result.GetSegmentation().GetSegmentIDs():
                set_mask(self.result, key, np.zeros(self.made.label_zyx.shape, bool), self.volumes["t1c"])
            self.ui.acceptButton.click()
            self.assertIn("no tumor?", asked[-1])
        self.ui.checkedCheck.click()
        self.panel.parameters.result = add_result(self.made, self.volumes, self.folder)
        self.assertFalse(self.ui.checkedCheck.checked)  # it was said of the result before

    def test_a_result_whose_predicted_labels_have_lost_their_file_is_accepted_as_drawn_over_its_model(self):
        self.result.GetNodeReference(PREDICTED_LABELS).SetAndObserveImageData(None)
        self.ui.libraryPath.currentPath = str(self.folder / "library")
        self.ui.caseEdit.setText("site1-008")
        self.ui.acceptButton.click()
        self.assertIsNotNone(self.tab.accepting)
        wait_until(lambda: self.tab.accepting is None)
        self.assertIn("Accepted as label", self.ui.acceptedLabel.text)
        version = open_library(self.folder / "library").case("site1-008").accepted
        self.assertEqual((version.kind, version.drawn_over), ("corrected", ("toy-model-1",)))

    def test_a_refused_case_is_told_with_the_way_out_also_after_its_scene(self):
        self.ui.libraryPath.currentPath = str(self.folder / "library")
        (self.folder / "library").mkdir()
        (self.folder / "library" / "mine.txt").write_text("not a library", encoding="utf-8")
        self.ui.caseEdit.setText("site1-008")
        self.ui.checkedCheck.setChecked(True)
        self.ui.acceptButton.click()
        wait_until(lambda: self.tab.accepting is None)
        self.assertIn("not empty", self.ui.acceptedLabel.text)
        self.assertIn("name a new folder", self.ui.acceptedLabel.text)
        self.ui.acceptButton.click()
        slicer.mrmlScene.Clear()
        wait_until(lambda: self.tab.accepting is None)
        self.assertIn("site1-008 was not accepted", self.ui.acceptedLabel.text)
        self.assertIn("not empty", self.ui.acceptedLabel.text)

    def test_a_replaced_result_has_lost_its_tick_and_tells_its_own_warnings(self):
        asked, tab = [], self.panel.segment_tab
        new = add_result(
            self.made, self.volumes, self.folder, findings=["warning: t2w: of another patient; choose its own"]
        )
        tab._volumes_at_start = self.volumes
        self.ui.replaceCheck.setChecked(True)
        self.ui.checkedCheck.setChecked(True)
        self.ui.acceptedLabel.setText("Accepted as label 2 of site1-008")
        with mock.patch.object(slicer.util, "confirmYesNoDisplay", lambda *_, **__: True):
            tab._done(new)
            wait_until(lambda: tab._showing is None)
        self.assertIs(self.panel.parameters.result, self.result)
        self.assertFalse(self.ui.checkedCheck.checked)
        self.assertEqual(self.ui.acceptedLabel.text, "")
        self.assertIn("another patient", self.ui.warningsLabel.text)
        self.ui.caseEdit.setText("site1-008")
        no = mock.patch.object(slicer.util, "confirmYesNoDisplay", lambda text, *_, **__: bool(asked.append(text)))
        with no:
            self.ui.acceptButton.click()
        self.assertIn("exactly as the model predicted them", asked[0])

    def test_a_result_that_was_edited_while_another_was_followed_shows_its_volumes_of_now(self):
        other = add_result(self.made, self.volumes, self.folder)
        self.panel.parameters.result = other
        set_mask(self.result, "ED", np.zeros(self.made.label_zyx.shape, bool), self.volumes["t1c"])
        self.panel.parameters.result = self.result
        edema = [row for row in (table_rows(table_node(self.result))) if row[0] == "Edema"]
        self.assertNotEqual(edema[0][2], "0.00")
        wait_until(lambda: ["Edema", edema[0][1], "0.00"] in table_rows(table_node(self.result)), seconds=10)

    def start_accepting(self, library, case_id):
        """Paint the whole head edema and press Accept; how many voxels are edema then."""
        self.ui.libraryPath.currentPath = str(library)
        self.ui.caseEdit.setText(case_id)
        set_mask(self.result, "ED", self.made.label_zyx == 0, self.volumes["t1c"])
        self.ui.acceptButton.click()
        self.assertIsNotNone(self.tab.accepting)
        return int((label_array(self.result, self.volumes["t1c"]) == self.made.schema.label("ED").value).sum())

    def accepted_edema(self, library, case_id):
        """Voxels of edema in the newest label of the library's case."""
        case = open_library(library).case(case_id)
        label = open_library(library).read_label(case, case.accepted)
        index = [one.key for one in self.made.schema.labels].index("ED") + 1
        return int((label.array == index).sum())

    def test_a_case_that_is_being_accepted_comes_into_the_library_though_the_scene_closes(self):
        for case_id, is_sent in (("site1-008", False), ("site1-009", True)):
            library = self.folder / case_id  # one library takes the same images once
            expected = self.start_accepting(library, case_id)
            if is_sent:
                wait_until(lambda: self.tab.accepting.child is not None)
            slicer.mrmlScene.Clear()
            self.assertIn(f"{case_id} is being written", self.ui.acceptedLabel.text)
            wait_until(lambda: self.tab.accepting is None)
            self.assertIn(f"of {case_id};", self.ui.acceptedLabel.text)
            self.assertEqual(self.ui.caseEdit.text, "")
            self.assertEqual(self.accepted_edema(library, case_id), expected)
            self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])
            self.volumes = add_volumes(self.made)
            self.result = add_result(self.made, self.volumes, self.folder)
            self.panel.parameters.result = self.result

    def test_slicer_quits_after_the_case_that_is_being_accepted_is_in_the_library(self):
        library = self.folder / "library"
        expected = self.start_accepting(library, "site1-008")
        self.tab.accepting.quit()  # as at aboutToQuit
        self.assertEqual(self.accepted_edema(library, "site1-008"), expected)
        self.assertEqual(list(Path(slicer.app.temporaryPath).glob("voxmmsd-*")), [])
        self.tab.close()
        self.assertIsNone(self.tab.accepting)

    def test_a_clone_of_a_result_is_a_result_by_what_its_original_knows(self):
        self.result.SetAttribute(FINGERPRINTS, '{"t1c": "abc"}')
        other = add_result(self.made, add_volumes(self.made, prefix="visit2"), self.folder)
        other.SetAttribute(FINGERPRINTS, '{"t1c": "def"}')
        mine = clone(self.result, "mine")
        self.panel.exit()
        self.panel.enter()
        self.ui.resultSelector.setCurrentNode(mine)
        wait_until(lambda: not self.tab._timer.isActive())
        self.assertIs(self.tab.result, mine)
        reference = reference_of(self.result)
        self.assertIs(reference_of(mine), reference)
        self.assertEqual([input_of(mine, key) for key in MODALITIES], [self.volumes[key] for key in MODALITIES])
        self.assertTrue(has_base(mine, reference))
        self.assertEqual(table_rows(table_node(mine)), table_rows(table_node(self.result)))
        self.assertIsNot(regions_node(mine), regions_node(self.result))
        self.assertEqual(mine.GetNodeReference("VoxMMSD.Places").GetNumberOfControlPoints(), len(PLACES))
        predicted = mine.GetNodeReference(PREDICTED_LABELS)
        slicer.mrmlScene.RemoveNode(self.result)
        wait_until(lambda: not self.panel._orphans)
        self.assertTrue(slicer.mrmlScene.IsNodePresent(predicted))
        version = self.panel.logic.accept(mine, self.folder / "library", "site1-007")
        self.assertEqual(version.changed_voxel_count, 0)

    def test_an_original_and_its_clone_can_be_replaced_without_each_other(self):
        self.result.SetAttribute(FINGERPRINTS, '{"t1c": "abc"}')
        mine, reference = clone(self.result, "mine"), reference_of(self.result)
        self.panel.enter()
        self.assertIs(last_result_of(self.volumes), self.result)  # and not the user's copy
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        wait_until(lambda: not self.panel._orphans)
        self.assertTrue(has_base(mine, reference) and has_base(self.result, reference))
        self.assertIsNot(mine.GetNodeReference(PREDICTED_LABELS), self.result.GetNodeReference(PREDICTED_LABELS))
        version = self.panel.logic.accept(mine, self.folder / "library", "site1-009")
        self.assertEqual(version.changed_voxel_count, 0)

    def test_a_clone_whose_original_is_gone_is_no_result(self):
        self.result.SetAttribute(FINGERPRINTS, '{"t1c": "abc"}')
        mine = clone(self.result, "mine")
        slicer.mrmlScene.RemoveNode(self.result)
        self.panel.enter()
        self.assertEqual(results(), [])
        self.assertEqual((self.ui.resultSelector.nodeCount(), self.ui.visitSelector.nodeCount()), (0, 0))
        self.assertTrue(slicer.mrmlScene.IsNodePresent(mine))

    def test_the_regions_are_shown_when_asked(self):
        display = regions_node(self.result).GetDisplayNode()
        self.assertFalse(display.GetVisibility())
        self.ui.regionsCheck.click()
        self.assertTrue(display.GetVisibility())

    def test_a_deleted_result_leaves_an_empty_tab_and_takes_along_what_was_made_for_it(self):
        names = {node.GetID() for node in belonging(self.result)}
        self.assertEqual(len(names), 5)
        slicer.mrmlScene.RemoveNode(self.result)
        wait_until(lambda: not any(slicer.mrmlScene.GetNodeByID(name) for name in names))
        self.assertIsNone(self.tab.result)
        self.assertFalse(self.ui.saveButton.enabled)
        self.assertTrue(all(slicer.mrmlScene.IsNodePresent(node) for node in self.volumes.values()))

    def test_what_a_replaced_result_owned_goes_and_what_the_old_one_took_over_stays(self):
        replace_result(self.result, add_result(self.made, self.volumes, self.folder))
        owned = belonging(self.result)
        wait_until(lambda: not self.panel._orphans)
        self.assertEqual(belonging(self.result), owned)
        self.assertTrue(all(node.GetName().startswith(self.result.GetName() + " ") for node in owned))

    def test_undo_and_redo_are_followed_by_volumes_and_regions(self):
        editor, t1c = self.ui.segmentEditor, self.volumes["t1c"]
        predicted = table_rows(table_node(self.result))
        editor.saveStateForUndo()
        set_mask(self.result, "ED", np.zeros(self.made.label_zyx.shape, bool), t1c)
        wait_until(lambda: table_rows(table_node(self.result)) != predicted)
        drawn = table_rows(table_node(self.result))
        editor.undo()
        wait_until(lambda: table_rows(table_node(self.result)) == predicted)
        self.assertTrue(np.array_equal(mask_of(regions_node(self.result), ["WT"], t1c), self.made.label_zyx > 0))
        editor.redo()
        wait_until(lambda: table_rows(table_node(self.result)) == drawn)

    def test_a_second_result_hides_the_first_and_shows_its_regions_where_they_were_asked_for(self):
        self.ui.regionsCheck.click()
        again = add_result(self.made, self.volumes, self.folder)
        at_once(self.panel.show_new(again))
        shown = [bool(node.GetDisplayNode().GetVisibility()) for node in
                 (self.result, regions_node(self.result), again, regions_node(again))]  # fmt: skip
        self.assertEqual(shown, [False, False, True, True])
        self.assertTrue(self.ui.regionsCheck.checked)

    def test_a_new_result_is_shown_in_steps_which_end_where_it_or_the_scene_goes(self):
        tab = self.panel.segment_tab
        gone, kept, cleared = (add_result(self.made, self.volumes, self.folder) for _ in range(3))
        tab._done(gone)
        slicer.mrmlScene.RemoveNode(gone)
        wait_until(lambda: tab._showing is None)
        self.assertIs(self.panel.parameters.result, self.result)
        tab._done(kept)
        self.assertIs(self.panel.parameters.result, self.result)
        wait_until(lambda: tab._showing is None)
        self.assertIs(self.panel.parameters.result, kept)
        self.assertIs(self.ui.segmentEditor.segmentationNode(), kept)
        self.assertIs(self.ui.tabs.currentWidget(), self.ui.reviewTab)
        tab._done(cleared)
        slicer.mrmlScene.Clear()
        self.assertIsNone(tab._showing)
        self.assertIsNone(self.panel.parameters.result)

    @slicer_case.needs_main_window
    def test_a_new_result_moves_no_view_of_another_module_and_brings_its_image_where_this_one_is_shown(self):
        other = add_volumes(self.made, ("t1c",), "visit2")["t1c"]
        for composite in self.composites():
            composite.SetBackgroundVolumeID(other.GetID())
            composite.SetForegroundVolumeID(self.volumes["t2f"].GetID())
            composite.SetLabelVolumeID(self.result.GetNodeReferenceID(PREDICTED_LABELS))
        view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
        view.SetSliceOffset(-3.0)
        self.ui.tabs.setCurrentWidget(self.ui.segmentTab)
        arrived = add_result(self.made, add_volumes(self.made, prefix="visit3"), self.folder)
        at_once(self.panel.show_new(arrived))
        self.assertEqual({one.GetBackgroundVolumeID() for one in self.composites()}, {other.GetID()})
        self.assertTrue(all(one.GetLabelVolumeID() for one in self.composites()))
        self.assertAlmostEqual(view.GetSliceOffset(), -3.0)
        self.panel.enter()  # now it is looked at, once
        shown = {(one.GetBackgroundVolumeID(), one.GetForegroundVolumeID()) for one in self.composites()}
        self.assertEqual(shown, {(reference_of(arrived).GetID(), None)})
        self.assertNotAlmostEqual(view.GetSliceOffset(), -3.0)
        self.panel.exit()
        view.SetSliceOffset(-3.0)
        self.panel.enter()
        self.assertAlmostEqual(view.GetSliceOffset(), -3.0)
        self.ui.tabs.setCurrentWidget(self.ui.segmentTab)
        arrived = add_result(self.made, self.volumes, self.folder)
        at_once(self.panel.show_new(arrived))
        shown = {(one.GetBackgroundVolumeID(), one.GetForegroundVolumeID()) for one in self.composites()}
        self.assertEqual(shown, {(reference_of(arrived).GetID(), None)})
        self.assertNotAlmostEqual(view.GetSliceOffset(), -3.0)
        self.ui.segmentEditor.setSourceVolumeNode(other)  # by the user, in the editor that is seen
        self.assertEqual({one.GetBackgroundVolumeID() for one in self.composites()}, {other.GetID()})

    @slicer_case.needs_main_window
    def test_a_new_result_is_shown_where_it_is_largest(self):
        self.panel.enter()
        at_once(self.panel.show_new(self.result))
        tumor = self.made.label_zyx > 0
        index = [int(tumor.sum(axis=axes).argmax()) for axes in ((0, 1), (0, 2), (1, 2))]  # x, y, z
        place = (self.made.grid.affine_xyz @ [*index, 1])[:3]
        views = [slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in ("Yellow", "Green", "Red")]

        def are_there():
            shown = [view.GetSliceToRAS().GetElement(axis, 3) for axis, view in enumerate(views)]
            return np.abs(np.subtract(shown, place)).max() < 1e-3

        slicer_case.wait_until(are_there, 20)

    def test_the_3d_view_looks_at_the_tumor_from_as_far_as_before(self):
        camera = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCameraNode")
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(0, 300, 0)
        center_3d(self.result)
        bounds = [0.0] * 6
        self.result.GetRASBounds(bounds)
        middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
        self.assertLess(np.abs(np.subtract(camera.GetFocalPoint(), middle)).max(), 1e-6)
        self.assertAlmostEqual(np.linalg.norm(np.subtract(camera.GetPosition(), camera.GetFocalPoint())), 300)

    def test_places_are_marked_in_the_slices_while_the_module_is_open_and_not_in_3d(self):
        display = self.result.GetNodeReference("VoxMMSD.Places").GetDisplayNode()
        self.panel.enter()
        self.assertTrue(display.GetVisibility())
        self.assertFalse(display.GetVisibility3D())
        self.panel.exit()
        self.assertFalse(display.GetVisibility())

    def test_what_the_images_were_warned_of_stands_beside_the_result(self):
        self.assertEqual(self.ui.warningsLabel.text, "")
        findings = ["warning: t1c: the skull is there; strip it (--brain-mask FILE)", "note: t2w: nothing much"]
        warned = add_result(self.made, self.volumes, self.folder, findings=findings)
        self.panel.parameters.result = warned
        self.assertIn("T1 post-contrast: the skull is there", self.ui.warningsLabel.text)
        self.assertNotIn("--brain-mask", self.ui.warningsLabel.text)
        self.assertNotIn("nothing much", self.ui.warningsLabel.text)

    def test_the_case_code_goes_with_the_scene_and_with_the_case(self):
        self.ui.caseEdit.setText("site1-006")
        self.panel.parameters.result = add_result(self.made, self.volumes, self.folder)
        self.assertEqual(self.ui.caseEdit.text, "site1-006")
        other = add_volumes(self.made, prefix="visit2")
        self.panel.parameters.result = add_result(self.made, other, self.folder)
        self.assertEqual(self.ui.caseEdit.text, "")
        self.ui.caseEdit.setText("site1-007")
        slicer.mrmlScene.Clear()
        self.assertEqual(self.ui.caseEdit.text, "")

    def test_labels_saved_without_an_ending_get_one_and_an_unknown_ending_is_said_in_one_sentence(self):
        for written, name in (("out2", "out2.nii.gz"), ("out3.nrrd", "out3.nrrd")):
            with mock.patch("qt.QFileDialog.getSaveFileName", return_value=str(self.folder / written)):
                self.ui.saveButton.click()
            self.assertIn(name, self.ui.acceptedLabel.text)
            node = slicer.util.loadLabelVolume(str(self.folder / name))
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), self.made.label_zyx))
        with self.assertRaisesRegex(InputError, "unknown format; end the name in"):
            VoxMMSDSegmentLogic().save_result(self.result, self.folder / "labels.jpeg9")

    def test_all_rows_of_the_volumes_are_seen(self):
        view = self.ui.volumesView
        rows = table_node(self.result).GetNumberOfRows()
        self.assertGreaterEqual(view.minimumHeight, (rows + 1) * view.rowHeight(0))


def _has_shortcuts(editor):
    """Whether the editor's keys work; Slicer puts them onto its main window."""
    if hasattr(editor, "_shortcuts"):  # the headless host's
        return editor._shortcuts
    keys = [one for one in slicer.util.mainWindow().children() if one.className() == "QShortcut"]
    return any(one.property("effectIndex") for one in keys)
