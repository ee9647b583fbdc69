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
