"""A real case through the panel and the real child process: what the command line gives, voxel by voxel."""

import os
import subprocess
import unittest
from pathlib import Path

import numpy as np
import slicer
import slicer_case
from slicer_case import press_find, wait_until

from voxmmsd.labels import MODALITIES
from VoxMMSDLib.child import child_environment, python_slicer
from VoxMMSDLib.segments import label_array

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("VOXMMSD_SHARED", REPOSITORY.parent / "shared")) / "data"
CASE = DATA / "brats2021" / "BraTS2021_00000"
FILES = dict(zip(MODALITIES, ("t1", "t1ce", "t2", "flair"), strict=True))


class RealCaseTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        if not CASE.is_dir():
            self.skipTest(f"no real cases at {DATA}: set VOXMMSD_SHARED to the folder that holds data/")
        # The starter: what a made-up network says of a real brain cannot be true, and is withheld.
        self.model = REPOSITORY / "voxmmsd" / "models" / "bundled" / "starter"
        self.files = {key: CASE / f"{CASE.name}_{name}.nii.gz" for key, name in FILES.items()}

    def by_command_line(self):
        import nibabel

        out = self.folder / "out"
        images = [text for key, file in self.files.items() for text in (f"--{key}", str(file))]
        command = [python_slicer(), "-m", "voxmmsd", "segment", *images, "--out", str(out), "--model", str(self.model)]
        subprocess.run(command, check=True, env=child_environment(), capture_output=True)
        return np.asarray(nibabel.load(out / "case-voxmmsd.nii.gz").dataobj).T

    @slicer_case.long
    def test_apply_gives_the_command_lines_result(self):
        volumes = {key: slicer.util.loadVolume(str(file)) for key, file in self.files.items()}
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(self.model)
        press_find(panel)
        self.assertEqual(panel.segment_tab.volumes(), volumes)
        panel.segment_tab.look_now()
        self.assertEqual(panel.segment_tab.findings.findings, ())
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None, 500)
        self.assertIsNotNone(panel.parameters.result, panel.ui.errorLabel.text)
        labels = label_array(panel.parameters.result, volumes["t1c"])
        self.assertEqual(set(np.unique(labels)), {0, 1, 2, 4})
        self.assertTrue(np.array_equal(labels, self.by_command_line()))

    @slicer_case.long
    def test_nameless_brains_are_told_by_their_content_and_a_swap_is_seen(self):
        volumes = {
            key: slicer.util.loadVolume(str(file), {"name": f"series {number}"})
            for number, (key, file) in enumerate(reversed(self.files.items()))
        }
        panel = self.open_panel("VoxMMSDSegment")
        press_find(panel)
        self.assertEqual(panel.segment_tab.volumes(), volumes)
        self.assertIn("content", panel.ui.stageLabel.text)
        panel.parameters.t1n, panel.parameters.t2f = volumes["t2f"], volumes["t1n"]
        panel.segment_tab.look_now()
        kinds = [finding.kind for finding in panel.segment_tab.findings.findings]
        self.assertIn("wrong-slot", kinds)
        panel.segment_tab.findings.button(kinds.index("wrong-slot"), "Swap").click()
        self.assertEqual(panel.segment_tab.volumes(), volumes)


if __name__ == "__main__":
    unittest.main()
