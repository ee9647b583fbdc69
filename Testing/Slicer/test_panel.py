"""The first tab: images found, findings told with a way out, choices kept, the scene's comings and goings."""

import slicer
import slicer_case
from phantom_case import TOY_MODEL, add_volumes, moved, phantom

from voxmmsd.labels import MODALITIES
from VoxMMSDLib import settings
from VoxMMSDSegmentLib.case import SlicerCase, find_volumes
from VoxMMSDSegmentLib.job import Options


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

    def test_find_them_takes_the_four_by_their_names(self):
        volumes = add_volumes(self.made)
        self.ui.findButton.click()
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

    def test_find_them_says_where_two_lay_claim(self):
        add_volumes(self.made)
        add_volumes(self.made, ("t2f",), prefix="again")
        self.ui.findButton.click()
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

    def test_swapping_exchanges_two_slots(self):
        volumes = add_volumes(self.made)
        self.choose(t1n=volumes["t2f"], t2f=volumes["t1n"])
        self.tab._swap("t1n", "t2f")
        self.assertIs(self.panel.parameters.t1n, volumes["t1n"])
        self.assertIs(self.panel.parameters.t2f, volumes["t2f"])

    def test_the_card_warns_where_an_image_is_missing_and_knows_no_scores(self):
        self.tab.models.import_file(TOY_MODEL)
        self.assertIn("none were measured", self.ui.modelCard.text)
        self.assertIn("Edema", self.ui.modelCard.text)

    def test_a_model_is_imported_exported_and_not_deleted_while_in_use(self):
        from voxmmsd.models.archive import export_model
        from voxmmsd.models.registry import list_models

        self.tab.models.import_file(TOY_MODEL)
        self.assertEqual(self.tab.models.chosen.info.id, "toy-model-1")
        self.assertTrue(export_model(self.tab.models.chosen, self.folder / "out.zip").is_file())
        with self.assertRaisesRegex(Exception, "in use"):
            self.tab.models.delete_chosen()
        self.assertEqual(len(list_models()), 1)

    def test_choices_about_the_case_are_in_the_scene_and_those_of_the_computer_are_not(self):
        volumes = add_volumes(self.made)
        self.choose(t1c=volumes["t1c"], operated=True)
        self.ui.memoryEdit.setText("3G")
        self.tab._keep_settings()
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
        self.ui.findButton.click()
        self.assertEqual(self.tab.volumes(), volumes)

    def test_a_deleted_input_leaves_its_slot_and_a_renamed_one_stays(self):
        volumes = add_volumes(self.made)
        self.choose(**volumes)
        volumes["t1c"].SetName("another name")
        slicer.mrmlScene.RemoveNode(volumes["t2w"])
        self.assertEqual(set(self.tab.volumes()), {"t1n", "t1c", "t2f"})

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
        for node in volumes.values():
            slicer.util.exportNode(node, str(self.folder / f"{node.GetName()}.nrrd"))
        slicer.mrmlScene.SetURL(str(self.folder / "scene.mrml"))
        slicer.mrmlScene.Commit(str(self.folder / "scene.mrml"))
        slicer.mrmlScene.Clear()
        self.assertFalse(self.panel.parameters.operated)
        slicer.util.loadScene(str(self.folder / "scene.mrml"))
        self.assertTrue(self.panel.parameters.operated)
        self.assertEqual(self.panel.parameters.model, "toy-model-1")
        self.assertEqual(self.panel.parameters.t1c.GetName(), "visit1 t1c")

    def test_options_are_the_cores(self):
        from voxmmsd.cli import _parser

        case = SlicerCase(add_volumes(self.made), reference="t2f", operated=True)
        arguments = ["segment", "--out", "x", *case.export(self.folder), *self.options().arguments()]
        given = vars(_parser().parse_args(arguments))
        self.assertEqual((given["smallest"], given["precision"]), (["ET=0.05", "ED=0.5"], "half"))
        self.assertEqual(
            (given["reference"], given["operated"], given["tta"], given["model"]), ("t2f", True, True, "m")
        )
        self.assertEqual({key for key in MODALITIES if given.get(key)}, set(MODALITIES))
