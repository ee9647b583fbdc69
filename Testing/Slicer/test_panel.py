"""The first tab: images found, findings shown with what fixes them, choices kept, the scene's comings and goings."""

from types import SimpleNamespace
from unittest import mock

import slicer
import slicer_case
import vtk
from phantom_case import TOY_MODEL, add_result, add_volumes, moved, phantom
from slicer_case import press_find, wait_until

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES
from VoxMMSDLib import settings
from VoxMMSDLib.background import at_once
from VoxMMSDSegmentLib.case import SlicerCase, find_volumes, kind_of_volume
from VoxMMSDSegmentLib.job import Options


def center_of(array, affine):
    """Center of mass in the world, in mm."""
    import numpy as np

    index = [np.average(np.arange(n), weights=array.sum(axis=tuple(b for b in range(3) if b != a)))
             for a, n in enumerate(array.shape)]  # fmt: skip
    return (affine @ [*index[::-1], 1])[:3]


def tag_in_uid(uid, tag):
    """What a DICOM database says of a series whose uid is its patient, modality and date."""
    patient, key, date = uid.split(".")
    description = {"t1n": "t1 ax", "t1c": "t1 ax post gd", "t2w": "t2 tse", "t2f": "flair"}[key]
    tags = {"0008,0060": "MR", "0008,103e": description, "0010,0020": patient, "0008,0020": date}
    return tags.get(tag, "")


class PanelTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.tab = self.panel.ui, self.panel.segment_tab

    def choose(self, **slots):
        for slot, node in slots.items():
            setattr(self.panel.parameters, slot, node)

    def test_apply_says_what_is_missing(self):
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("image", self.ui.applyButton.toolTip)
        self.choose(t1c=add_volumes(self.made)["t1c"])
        self.assertIn("model", self.ui.applyButton.toolTip)
        self.tab.models.import_file(TOY_MODEL)
        self.assertTrue(self.ui.applyButton.enabled)

    def test_a_model_that_came_in_another_module_is_offered_when_this_one_is_shown_again(self):
        from voxmmsd.models import registry

        self.choose(t1c=add_volumes(self.made)["t1c"])
        self.assertFalse(self.ui.applyButton.enabled)
        model = registry.accept(registry.import_model(TOY_MODEL))
        self.panel.enter()
        self.assertIn(model.info.name, self.ui.modelCombo.currentText)
        self.assertGreaterEqual(self.ui.modelCombo.findData(model.info.id), 0)
        self.assertTrue(self.ui.applyButton.enabled)

    def test_before_there_is_a_result_nothing_can_be_done_with_one(self):
        ui = self.ui
        buttons = (ui.acceptButton, ui.saveButton, ui.show3DButton, ui.nextPlaceButton, ui.regionsCheck)
        self.assertEqual([button.enabled for button in buttons], 5 * [False])
        self.assertIn("no result", ui.acceptButton.toolTip)

    def test_find_them_takes_the_four_by_their_names(self):
        volumes = add_volumes(self.made)
        press_find(self.panel)
        self.assertEqual(self.tab.volumes(), volumes)

    def test_find_them_stays_within_one_study(self):
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        sets = {}
        for name in ("first", "second"):
            sets[name] = add_volumes(self.made, prefix=name)
            study = tree.CreateStudyItem(tree.GetSceneItemID(), name)
            for node in sets[name].values():
                tree.SetItemParent(tree.GetItemByDataNode(node), study)
        self.assertEqual(find_volumes(sets["first"]["t1c"]).volumes, sets["first"])

    def in_studies_of_their_own(self, prefix, date):
        """Volumes as Slicer's module DICOM loads an archive that gives each series a study of its own."""
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        volumes = add_volumes(self.made, prefix=prefix)
        for key, node in volumes.items():
            study = tree.CreateStudyItem(tree.GetSceneItemID(), date)
            tree.SetItemParent(tree.GetItemByDataNode(node), study)
            node.SetAttribute("DICOM.instanceUIDs", f"{prefix}.{key}.{date}")
        return volumes

    def test_find_them_joins_studies_of_one_series_by_patient_and_date(self):
        first, later = (
            self.in_studies_of_their_own(name, date) for name, date in (("A", "20200101"), ("A", "20200301"))
        )
        other = self.in_studies_of_their_own("B", "20200101")
        database = SimpleNamespace(isOpen=True, fileForInstance=lambda uid: "x.dcm", instanceValue=tag_in_uid)
        with mock.patch.object(slicer, "dicomDatabase", database, create=True):
            for volumes in (first, later, other):
                found = find_volumes(volumes["t1c"])
                self.assertEqual(found.volumes, volumes)
            self.panel.parameters.t1c = later["t1c"]
            press_find(self.panel)
            self.assertIn("patient and date", self.ui.stageLabel.text)
            # A study that holds several series is a study.
            tree = slicer.mrmlScene.GetSubjectHierarchyNode()
            study = tree.GetItemParent(tree.GetItemByDataNode(first["t1c"]))
            tree.SetItemParent(tree.GetItemByDataNode(first["t2f"]), study)
            two = {key: first[key] for key in ("t1c", "t2f")}
            self.assertEqual(find_volumes(first["t1c"]).volumes, two)

    def test_find_them_says_where_two_lay_claim(self):
        add_volumes(self.made)
        add_volumes(self.made, ("t2f",), prefix="again")
        press_find(self.panel)
        self.assertIn("FLAIR", self.ui.stageLabel.text)

    def test_the_same_volume_twice_is_found_and_left_out_by_one_click(self):
        node = add_volumes(self.made)["t1c"]
        self.choose(t1c=node, t1n=node)
        self.tab.look_now()
        kinds = [finding.kind for finding in self.tab.findings.findings]
        self.assertIn("same-volume", kinds)
        self.tab.findings.button(kinds.index("same-volume")).click()
        self.assertEqual(len(self.tab.volumes()), 1)

    def test_a_look_at_a_good_case_finds_nothing(self):
        self.choose(**add_volumes(self.made, ("t1c", "t2f")))
        self.tab.look_now()
        self.assertFalse([f for f in self.tab.findings.findings if f.severity == "blocking"])

    def by_kind(self):
        """Number of the first finding of each kind, as looked at now."""
        self.tab.look_now()
        kinds = [finding.kind for finding in self.tab.findings.findings]
        return {kind: kinds.index(kind) for kind in kinds}

    def found(self, kind):
        number = self.by_kind()[kind]
        return self.tab.findings.findings[number]

    def press(self, kind, text):
        self.tab.findings.button(self.by_kind()[kind], text).click()

    def test_images_whose_names_tell_another_slot_are_swapped_by_one_click(self):
        volumes = add_volumes(self.made)
        self.choose(t1n=volumes["t2f"], t1c=volumes["t1c"], t2w=volumes["t2w"], t2f=volumes["t1n"])
        self.assertIn("named as", self.found("wrong-slot").text)
        self.press("wrong-slot", "Swap")
        self.assertEqual(self.tab.volumes(), volumes)
        self.assertNotIn("wrong-slot", self.by_kind())

    def test_an_image_that_lies_elsewhere_is_aligned_by_one_click_and_the_finding_says_so(self):
        volumes = add_volumes(self.made)
        moved(volumes["t2f"], 9.0, 0.0, 0.0)
        self.choose(**volumes)
        self.press("not-aligned", "Align")
        self.assertTrue(self.ui.alignCheck.checked)
        self.assertIsNone(self.tab.findings.button(self.by_kind()["not-aligned"]))
        self.assertTrue(self.tab.options().intermediates)

    def test_a_head_is_segmented_as_from_the_scanner_by_one_click(self):
        self.choose(**add_volumes(self.made, ("t1c", "t2f")))
        with mock.patch("voxmmsd.data.brain_mask.MAX_BRAIN_ML", 1.0):
            self.press("skull", "From the scanner")
            self.assertTrue(self.ui.fromScannerCheck.checked)
            self.assertFalse(self.ui.alignCheck.enabled, "it is part of that")
            self.assertTrue(self.tab.options().intermediates, "the mask is to be seen")
            self.assertNotIn("skull", self.by_kind())

    def test_images_on_other_grids_are_kept_as_resampled_by_one_click(self):
        volumes = add_volumes(self.made)
        coarse = self.made.image_czyx[3][::2, ::2, ::2]
        slicer.util.updateVolumeFromArray(volumes["t2f"], coarse)
        volumes["t2f"].SetSpacing(*(2 * size for size in volumes["t2f"].GetSpacing()))
        self.choose(**volumes)
        self.assertFalse(self.tab.options().intermediates)
        self.assertIsNotNone(self.tab.findings.button(self.by_kind()["different-grids"], "From the scanner"))
        self.press("different-grids", "Resample")
        self.assertTrue(self.ui.intermediatesCheck.checked)
        self.assertTrue(self.tab.options().intermediates)
        self.assertIsNone(self.tab.findings.button(self.by_kind()["different-grids"]))

    def bend(self, node):
        """Put it under a transform that is not linear: a shift by 6 mm, given as a grid of displacements."""
        import numpy as np
        from vtk.util.numpy_support import numpy_to_vtk

        grid = vtk.vtkImageData()
        grid.SetDimensions(3, 3, 3)
        grid.SetSpacing(200, 200, 200)
        grid.SetOrigin(-200, -200, -200)
        shifts = np.tile((6.0, 0.0, 0.0), (27, 1))
        grid.GetPointData().SetScalars(numpy_to_vtk(shifts, deep=True))
        displacement = slicer.vtkOrientedGridTransform()
        displacement.SetDisplacementGridData(grid)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "bent")
        transform.SetAndObserveTransformToParent(displacement)
        node.SetAndObserveTransformNodeID(transform.GetID())

    def test_a_bent_image_cannot_give_the_result_its_voxels_and_a_hardened_copy_can(self):
        volumes = add_volumes(self.made)
        self.bend(volumes["t1c"])
        self.choose(**volumes)
        self.assertEqual(self.found("bent").severity, "blocking")
        with self.assertRaisesRegex(InputError, "nonlinear.*harden"):
            SlicerCase(self.tab.volumes()).export(self.folder)
        self.press("bent", "Harden a copy")
        copy = self.panel.parameters.t1c
        self.assertIsNot(copy, volumes["t1c"])
        self.assertIsNone(copy.GetParentTransformNode())
        self.assertIsNotNone(volumes["t1c"].GetParentTransformNode())
        self.assertNotIn("bent", self.by_kind())

    def test_a_bent_image_beside_the_reference_is_written_as_it_is_seen(self):
        import nibabel
        import numpy as np

        volumes = add_volumes(self.made, ("t1c", "t2f"))
        self.bend(volumes["t2f"])
        self.choose(**volumes)
        self.assertEqual(self.found("bent").severity, "warning")
        before = center_of(slicer.util.arrayFromVolume(volumes["t2f"]), self.made.grid.affine_xyz)
        SlicerCase(volumes).export(self.folder)
        written = nibabel.load(self.folder / "t2f.nii")
        shift = center_of(np.asarray(written.dataobj).T, written.affine) - before
        self.assertLess(abs(np.abs(shift) - (6, 0, 0)).max(), 1.0)

    def test_nameless_brains_are_told_by_their_content(self):
        volumes = add_volumes(self.made)
        volumes["t2f"].SetName("series 7")
        with mock.patch(
            "voxmmsd.preflight.modality.assign_modalities", lambda arrays, free: ["t2f"] if free == ["t2f"] else [""]
        ):
            press_find(self.panel)
        self.assertIs(self.panel.parameters.t2f, volumes["t2f"])
        self.assertIn("FLAIR", self.ui.stageLabel.text)
        self.assertIn("content", self.ui.stageLabel.text)

    def test_dicom_tags_tell_a_volume_whose_name_does_not(self):
        node = add_volumes(self.made, ("t1c",))["t1c"]
        node.SetName("7: unnamed")
        node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
        tags = {"0008,0060": "MR", "0008,103e": "t1_mprage_sag", "0018,0010": "Gadovist"}
        database = SimpleNamespace(
            isOpen=True, fileForInstance=lambda uid: "x.dcm", instanceValue=lambda uid, tag: tags.get(tag, "")
        )
        with mock.patch.object(slicer, "dicomDatabase", database, create=True):
            self.assertEqual(kind_of_volume(node), ("modality", "t1c"))
        self.assertEqual(kind_of_volume(node), ("unknown", ""))

    def test_find_them_takes_a_brain_mask_by_its_name(self):
        volumes = add_volumes(self.made)
        labels = slicer.modules.volumes.logic().CreateAndAddLabelVolume(volumes["t1c"], "visit1 brain_mask")
        press_find(self.panel)
        self.assertEqual(self.tab.volumes(), volumes)
        self.assertIs(self.panel.parameters.brainMask, labels)

    def test_the_card_is_short_and_warns_where_an_image_is_missing_and_the_rest_is_behind_more(self):
        from dataclasses import replace

        models = self.tab.models
        models.import_file(TOY_MODEL)
        limits = replace(models.chosen.info, limits="Adult glioma. It misses small ones. A start <1>.")
        chosen = replace(models.chosen, info=limits)
        with mock.patch.object(type(models), "chosen", chosen):
            models.show_card(("t1c", "t2f"))
            short = self.ui.modelCard.text
            self.ui.moreCardButton.click()
            whole = self.ui.modelCard.text
            self.ui.moreCardButton.click()
        self.assertTrue(short.startswith("<i>Research use only.</i> Adult glioma.<br>"))
        self.assertIn("<b>without T1, T2: ", short)
        for text in ("small ones", "none were measured", "Edema"):
            self.assertNotIn(text, short)
            self.assertIn(text, whole)
        self.assertIn("A start &lt;1&gt;.", whole)
        self.assertEqual(self.ui.modelCard.text, short)

    def test_the_card_shows_what_the_model_expects_of_the_images_that_are_there(self):
        from dataclasses import replace

        from voxmmsd.labels import MODALITIES
        from voxmmsd.models.subsets import SUBSETS, subset_key, with_subset_scores
        from VoxMMSDSegmentLib.models_box import expected_text, scores_text

        self.tab.models.import_file(TOY_MODEL)
        scores = {"validation": {"cases": 1, "regions": {"WT": 0.4}}}
        plain = replace(self.tab.models.chosen.info, scores=scores)
        dice = {subset_key(subset): {"WT": len(subset) / 10} for subset in SUBSETS}
        record = {"split": "validation", "cases": ["a"], "created": "today", "dice": dice}
        info = with_subset_scores(plain, record)
        self.assertIn(
            "without T1, T2: the model's card expects a Dice of WT 0.20 (with all four 0.40), over 1 validation",
            expected_text(info, ("t1c", "t2f")),
        )
        self.assertEqual(scores_text(info), "Mean Dice (validation cases: 1): WT 0.40.")
        self.assertEqual([expected_text(info, chosen) for chosen in ((), MODALITIES)], ["", ""])
        self.assertIn("how much less is not in its card", expected_text(plain, ("t1c", "t2f")))

    def test_a_model_is_imported_exported_and_not_deleted_while_in_use(self):
        from voxmmsd.models.archive import export_model
        from voxmmsd.models.registry import list_models

        self.tab.models.import_file(TOY_MODEL)
        self.assertEqual(self.tab.models.chosen.info.id, "toy-model-1")
        self.assertTrue(export_model(self.tab.models.chosen, self.folder / "out.zip").is_file())
        self.ui.useModelButton.click()
        self.ui.modelCombo.setCurrentIndex(self.ui.modelCombo.findData("toy-model-1"))
        with self.assertRaisesRegex(Exception, "in use"):
            self.tab.models.delete_chosen()
        self.assertEqual(len(list_models()), 1)

    def test_choices_about_the_case_are_in_the_scene_and_those_of_the_computer_are_not(self):
        volumes = add_volumes(self.made)
        self.choose(t1c=volumes["t1c"], operated=True)
        self.ui.memoryEdit.setText("3G")
        self.tab._computer.keep()
        node = self.panel.parameters.parameterNode
        self.assertEqual(node.GetNodeReferenceID("t1c"), volumes["t1c"].GetID())
        kept = " ".join(f"{name}={node.GetParameter(name)}" for name in node.GetParameterNames())
        self.assertNotIn("3G", kept)
        self.assertEqual(settings.read("memory", ""), "3G")
        again = self.open_panel("VoxMMSDSegment")
        self.assertEqual(again.ui.memoryEdit.text, "3G")
        self.assertIs(again.parameters.t1c, volumes["t1c"])
        self.assertTrue(again.ui.operatedCheck.checked)

    def test_closing_the_scene_empties_the_panel_and_it_works_on(self):
        self.choose(**add_volumes(self.made))
        slicer.mrmlScene.Clear()
        self.assertEqual(self.tab.volumes(), {})
        self.assertFalse(self.ui.applyButton.enabled)
        volumes = add_volumes(self.made)
        press_find(self.panel)
        self.assertEqual(self.tab.volumes(), volumes)

    def test_a_deleted_input_leaves_its_slot_and_a_renamed_one_stays(self):
        volumes = add_volumes(self.made)
        self.choose(**volumes)
        volumes["t1c"].SetName("another name")
        slicer.mrmlScene.RemoveNode(volumes["t2w"])
        self.assertEqual(set(self.tab.volumes()), {"t1n", "t1c", "t2f"})

    def test_what_was_made_here_is_offered_as_no_input_and_the_rest_is(self):
        volumes = add_volumes(self.made)
        result = add_result(self.made, volumes, self.folder)
        brain = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
        at_once(self.panel.show_new(result))
        ui = self.ui
        offered = [ui.t1nSelector.nodeFromIndex(i) for i in range(ui.t1nSelector.nodeCount())]
        self.assertEqual(offered, list(volumes.values()))
        masks = [ui.brainMaskSelector.nodeFromIndex(i) for i in range(ui.brainMaskSelector.nodeCount())]
        self.assertEqual({node.GetName() for node in masks}, {node.GetName() for node in (*volumes.values(), brain)})

    def test_a_volume_and_a_segmentation_can_be_the_brain_mask(self):
        volume = add_volumes(self.made, ("t1c",))["t1c"]
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
        for node in (volume, segmentation):
            self.ui.brainMaskSelector.setCurrentNode(node)
            self.assertIs(self.panel.parameters.brainMask, node)

    def test_a_look_is_done_beside_slicer_and_old_findings_cannot_be_pressed_meanwhile(self):
        node = add_volumes(self.made)["t1c"]
        self.choose(t1c=node, t1n=node)
        self.tab.look_now()
        self.assertTrue(self.ui.findingsFrame.enabled)
        found = self.tab.findings.findings
        self.choose(t1n=None)
        self.assertFalse(self.ui.findingsFrame.enabled)
        self.tab.look()
        self.assertEqual(self.tab.findings.findings, found)
        wait_until(lambda: self.tab.findings.findings != found)
        self.assertTrue(self.ui.findingsFrame.enabled)

    def test_a_look_that_fails_says_so_and_the_panel_works_on(self):
        self.choose(**add_volumes(self.made))
        with mock.patch("voxmmsd.preflight.check.check_volumes", side_effect=ValueError("odd")):
            self.tab.look_now()
        self.assertEqual([finding.kind for finding in self.tab.findings.findings], ["not-checked"])
        self.tab.look_now()
        self.assertNotIn("not-checked", [finding.kind for finding in self.tab.findings.findings])

    def test_the_way_to_fix_a_skull_is_said_in_the_panels_words(self):
        from voxmmsd.records.findings import SEVERITIES, Finding
        from VoxMMSDSegmentLib.findings import how_to_fix

        for kind in ("skull", "not-aligned", "different-grids", "constant"):
            finding = Finding(SEVERITIES[1], kind, "text", "give it (t1c)", "t1c")
            self.assertNotIn("--", how_to_fix(finding))
            self.assertNotIn("t1c", how_to_fix(finding))

    def test_an_imported_model_is_chosen_and_only_the_button_puts_it_into_use(self):
        from voxmmsd.models.registry import model_in_use

        self.tab.models.import_file(TOY_MODEL)
        self.assertEqual(self.ui.modelCombo.currentData, "toy-model-1")
        self.assertIsNone(model_in_use())
        self.assertTrue(self.ui.useModelButton.enabled)
        self.ui.useModelButton.click()
        self.assertEqual(model_in_use().info.id, "toy-model-1")
        self.assertEqual(self.ui.modelCombo.currentData, "")
        self.assertFalse(self.ui.useModelButton.enabled)

    def test_models_of_one_name_and_day_can_be_told_apart(self):
        from VoxMMSDSegmentLib.models_box import titles

        def model(model_id, created):
            return SimpleNamespace(id=model_id, name="corrections", created=created)

        alone = titles([model("a", "2026-11-25T10:00:00"), model("b", "2026-11-26T10:00:00")])
        self.assertEqual([text for text, _ in alone], ["corrections  (2026-11-25)", "corrections  (2026-11-26)"])
        twice = titles([model("a", "2026-11-26T09:30:00"), model("b", "2026-11-26T10:00:00")])
        self.assertEqual(
            [text for text, _ in twice], ["corrections  (2026-11-26 09:30)", "corrections  (2026-11-26 10:00)"]
        )
        same = titles([model("a", "2026-11-26T10:00:00"), model("b", "2026-11-26T10:00:30")])
        self.assertEqual(len({text for text, _ in same}), 2)

    def test_a_mask_given_as_segmentation_is_written_whole_though_hidden(self):
        import nibabel
        import numpy as np

        from VoxMMSDLib.segments import set_mask
        from VoxMMSDLib.volumes import export_mask

        reference = add_volumes(self.made)["t1c"]
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        node.GetSegmentation().AddEmptySegment("brain", "brain")
        inside = self.made.image_czyx[1] > 0
        set_mask(node, "brain", inside, reference)
        node.GetDisplayNode().SetSegmentVisibility("brain", False)
        file = export_mask(node, reference, self.folder / "mask.nii")
        self.assertTrue(np.array_equal(np.asarray(nibabel.load(file).dataobj).T > 0, inside))

    def test_an_input_under_a_transform_is_written_in_the_world_and_stays_as_it_is(self):
        import nibabel

        volumes = add_volumes(self.made, ("t1c",))
        moved(volumes["t1c"], 10.0, -4.0, 3.0)
        SlicerCase(volumes).export(self.folder)
        affine = nibabel.load(self.folder / "t1c.nii").affine
        expected = self.made.grid.affine_xyz[:3, 3] + (10.0, -4.0, 3.0)
        self.assertLess(abs(affine[:3, 3] - expected).max(), 1e-4)
        self.assertIsNotNone(volumes["t1c"].GetParentTransformNode())
        self.assertIsNone(volumes["t1c"].GetStorageNode())

    def test_a_case_needs_an_image_and_a_reference_among_them(self):
        with self.assertRaisesRegex(Exception, "no image"):
            SlicerCase({})
        with self.assertRaisesRegex(Exception, "not chosen"):
            SlicerCase(add_volumes(self.made, ("t1c",)), reference="t2f")

    def options(self):
        return Options(tta=True, model="m", precision="half", smallest=("ET=0.05", "ED=0.5"))

    def test_choices_come_back_with_a_saved_scene(self):
        volumes = add_volumes(self.made)
        self.choose(t1c=volumes["t1c"], operated=True, model="toy-model-1")
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        slicer.mrmlScene.Clear()
        self.assertFalse(self.panel.parameters.operated)
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        wait_until(lambda: self.panel.parameters.t1c is not None)  # taken up at the end of the import
        self.assertTrue(self.panel.parameters.operated)
        self.assertEqual(self.panel.parameters.model, "toy-model-1")
        self.assertEqual(self.panel.parameters.t1c.GetName(), "visit1 t1c")

    def test_options_are_the_cores(self):
        from voxmmsd.cli import _parser

        case = SlicerCase(add_volumes(self.made), reference="t2f", operated=True)
        arguments = ["segment", "--out", "x", *case.export(self.folder), *self.options().arguments()]
        given = vars(_parser().parse_args(arguments))
        self.assertEqual((given["min_component"], given["precision"]), (["ET=0.05", "ED=0.5"], "half"))
        self.assertEqual(
            (given["reference"], given["postoperative"], given["tta"], given["model"]), ("t2f", True, True, "m")
        )
        self.assertEqual({key for key in MODALITIES if given.get(key)}, set(MODALITIES))
