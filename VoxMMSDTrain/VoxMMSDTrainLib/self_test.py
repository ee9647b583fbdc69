"""What *Reload and Test* and the module Self Tests of Slicer run: the panel once around, in seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from VoxMMSDLib import dependencies, settings

MAX_SECONDS = 120
SETTINGS = ("library", "TrainDatafinetune")  # that a panel writes when a library is chosen in it


class VoxMMSDTrainTest(ScriptedLoadableModuleTest):
    """Opens a panel of its own, draws, and opens a case; the user's library and settings stay as they are."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self, **_kwargs):
        self.setUp()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            kept = {key: settings.read(key, "") for key in SETTINGS}
            panel = slicer.util.getNewModuleWidget("VoxMMSDTrain")
            try:
                self.check_tabs(panel)
                if not dependencies.missing():
                    self.check_a_case(panel, Path(folder))
            finally:
                _take_down(panel)
                for key, value in kept.items():
                    settings.write(key, value)
        self.delayDisplay("Vox-MMSD Brain Tumor Training: test passed")

    def check_tabs(self, panel):
        for tab in ("Task", "Run", "Result", "Library"):
            panel.showTab(tab)
        panel.exit()
        panel.enter()

    def check_a_case(self, panel, folder: Path):
        """A phantom comes into the scene from a library with its four images and the tissues of its label."""
        _library_of_one(folder)
        panel.library.ui.libraryPath.currentPath = str(folder / "library")
        panel.library.ui.casesTable.selectRow(0)
        panel.library.ui.openButton.click()
        end = time.monotonic() + MAX_SECONDS
        while panel.work.is_running and time.monotonic() < end:
            slicer.app.processEvents()
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertEqual(len(nodes), 1, panel.library.ui.noticeLabel.text)
        self.assertEqual(nodes[0].GetSegmentation().GetNumberOfSegments(), 3)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 4)
        self.assertTrue(panel.library.ui.acceptButton.enabled)


def _library_of_one(folder: Path) -> None:
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.formats.sources import read_volume
    from voxmmsd.data.volume import Volume
    from voxmmsd.labels import indices_from_values, schema_named
    from voxmmsd.library import create_library
    from voxmmsd.phantom import write_phantoms

    write_phantoms(folder / "cases", 1, seed=7, side=32)
    library = create_library(folder / "library", seed=0)
    (case,) = find_cases(folder / "cases").cases
    library.add_case(case.id, {name: read_volume(source) for name, source in case.modalities.items()})
    assert case.label is not None and case.schema is not None
    label = read_volume(case.label)
    indices = indices_from_values(label.array, schema_named(case.schema), case.id)
    library.accept(case.id, Volume(indices, label.grid), case.schema, drawn_over=())


def _take_down(panel) -> None:
    """Slicer crashes at its exit where two panels of a module are left."""
    panel.cleanup()
    slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", panel._onModuleAboutToBeUnloaded)
    panel.parent.delete()
