"""Both modules open, are named for what they are, and can be reloaded."""

import slicer
import slicer_case


class ModulesTest(slicer_case.ModuleTest):
    def test_titles_say_what_the_modules_are(self):
        self.assertEqual(slicer.modules.voxmmsdsegment.title, "Vox-MMSD Brain Tumor Segmentation")
        self.assertEqual(slicer.modules.voxmmsdtrain.title, "Vox-MMSD Brain Tumor Training")

    def test_panels_open_without_views_and_close(self):
        for name in ("VoxMMSDSegment", "VoxMMSDTrain"):
            panel = self.open_panel(name)
            self.assertIsNotNone(panel.ui)

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
