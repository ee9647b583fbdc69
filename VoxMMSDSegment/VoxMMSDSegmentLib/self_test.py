"""The module's own short test, behind *Reload and Test* in developer mode and in Slicer's list of self tests."""

from __future__ import annotations

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from voxmmsd.labels import MODALITIES


class VoxMMSDSegmentTest(ScriptedLoadableModuleTest):
    """Makes the sample patient, finds its images and looks at them; installs nothing."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_the_sample_patient_is_found_and_nothing_is_wrong_with_it()

    def test_the_sample_patient_is_found_and_nothing_is_wrong_with_it(self):
        from VoxMMSDLib.dependencies import missing
        from VoxMMSDSegmentLib import sample
        from VoxMMSDSegmentLib.case import find_volumes
        from VoxMMSDSegmentLib.findings import look

        if absent := missing():
            self.delayDisplay(f"Not tested, since packages are missing: {', '.join(absent)}")
            return
        nodes = sample.make()
        found = find_volumes(nodes[0]).volumes
        self.assertEqual([found[key] for key in MODALITIES], nodes)
        blocking = [finding.text for finding in look(found) if finding.severity == "blocking"]
        self.assertEqual(blocking, [])
        self.delayDisplay("Test passed")
