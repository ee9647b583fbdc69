"""Both modules open, are named for what they are, and can be reloaded."""

import slicer
import slicer_case
from slicer_case import wait_until

from VoxMMSDLib.segments import MODEL, SCHEMA


class ModulesTest(slicer_case.ModuleTest):
    def test_titles_say_what_the_modules_are(self):
        self.assertEqual(slicer.modules.voxmmsdsegment.title, "Vox-MMSD Brain Tumor Segmentation")
        self.assertEqual(slicer.modules.voxmmsdtrain.title, "Vox-MMSD Brain Tumor Training")

    def test_panels_open_without_views_and_close(self):
        for name in ("VoxMMSDSegment", "VoxMMSDTrain"):
            panel = self.open_panel(name)
            self.assertIsNotNone(panel.ui)

    def test_the_second_tab_comes_after_the_first_in_slices_or_when_it_is_asked_for(self):
        panel = self.open_panel("VoxMMSDSegment", whole=False)
        self.assertEqual(panel.ui.applyButton.enabled, False)
        self.assertNotIn("segmentEditor", vars(panel.ui))
        result = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        result.SetAttribute(SCHEMA, "brats-2021")
        result.SetAttribute(MODEL, "toy-1")
        panel.parameters.result = result
        self.assertEqual(panel.ui.modelCombo.count, 0)
        wait_until(lambda: not panel._building.is_at_work)
        self.assertEqual(panel.ui.modelCombo.itemText(0), "(no model yet)")
        self.assertIs(panel.ui.resultSelector.currentNode(), result)
        self.assertIs(panel.ui.segmentEditor.segmentationNode(), result)
        asked = self.open_panel("VoxMMSDSegment", whole=False)
        self.assertIs(asked.ui.resultSelector.currentNode(), result)
        self.assertIs(asked.review_tab.result, result)
        with self.assertRaisesRegex(AttributeError, "no widget named nosuchButton"):
            asked.ui.nosuchButton.click()

    def test_the_sections_of_the_training_panel_come_in_slices_or_when_they_are_asked_for(self):
        panel = self.open_panel("VoxMMSDTrain", whole=False)
        self.assertNotIn("result", vars(panel))
        wait_until(lambda: not panel._building.is_at_work)
        self.assertIn("result", vars(panel))
        asked = self.open_panel("VoxMMSDTrain", whole=False)
        self.assertEqual(asked.result.ui.casesTable.rowCount, 0)
        self.assertIs(asked.library.ui.casesTable, vars(asked)["library"].ui.casesTable)
        closed = self.open_panel("VoxMMSDTrain", whole=False)
        closed._building.turn()
        closed.cleanup()
        self.assertFalse(closed._building.is_at_work)

    def test_a_panel_or_a_scene_that_closes_while_the_second_tab_is_built_leaves_nothing_half(self):
        closed = self.open_panel("VoxMMSDSegment", whole=False)
        closed._building.turn()
        closed.cleanup()
        self.assertFalse(closed._building.is_at_work)
        panel = self.open_panel("VoxMMSDSegment", whole=False)
        for _ in range(3):
            panel._building.turn()
            slicer.mrmlScene.Clear()
        wait_until(lambda: not panel._building.is_at_work)
        result = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        result.SetAttribute(SCHEMA, "brats-2021")
        result.SetAttribute(MODEL, "toy-1")
        panel.ui.resultSelector.setCurrentNode(result)
        self.assertIs(panel.parameters.result, result)
        self.assertIs(panel.review_tab.result, result)

    def test_reload_and_test_finds_the_modules_own_test_and_passes_it(self):
        import VoxMMSDSegment

        VoxMMSDSegment.VoxMMSDSegmentTest().runTest()
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4)

    def test_the_sample_patient_is_made_on_the_spot_and_found_at_once(self):
        from VoxMMSDSegmentLib import sample
        from VoxMMSDSegmentLib.case import find_volumes
        from VoxMMSDSegmentLib.findings import look

        sources = slicer.modules.sampleDataSources[sample.CATEGORY]
        source = next(source for source in sources if source.sampleName == sample.NAME)
        nodes = source.customDownloader(source)
        found = find_volumes(nodes[0]).volumes
        self.assertEqual(list(found.values()), nodes)
        self.assertEqual([finding.text for finding in look(found)], [])

    def test_the_codes_of_the_tissues_are_in_a_list_of_terms(self):
        from voxmmsd.labels import SCHEMAS
        from VoxMMSDLib.segments import TERMS

        logic = slicer.modules.terminologies.logic()
        category = slicer.vtkSlicerTerminologyCategory()
        self.assertTrue(logic.GetNthCategoryInTerminology(TERMS, 0, category))
        count = logic.GetNumberOfTypesInTerminologyCategory(TERMS, category)
        kind, codes = slicer.vtkSlicerTerminologyType(), set()
        for index in range(count):
            logic.GetNthTypeInTerminologyCategory(TERMS, category, index, kind)
            codes.add(kind.GetCodeValue())
        self.assertLessEqual({label.terminology.code for s in SCHEMAS.values() for label in s.labels}, codes)
