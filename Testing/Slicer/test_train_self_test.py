"""*Reload and Test*: the module has a test of its own, which leaves the user's settings alone."""

import slicer
import train_case

from voxmmsd.home import home
from VoxMMSDLib import settings


class TrainSelfTest(train_case.TrainTest):
    def test_the_modules_own_test_passes_and_leaves_the_users_library_chosen(self):
        settings.write("library", "/data/library-of-the-user")
        settings.write("TrainDatafinetune", "/data/cases-of-the-user")
        slicer.selfTests["VoxMMSDTrain"]()
        self.assertEqual(settings.read("library", ""), "/data/library-of-the-user")
        self.assertEqual(settings.read("TrainDatafinetune", ""), "/data/cases-of-the-user")
        self.assertEqual(self._faults, [])

    def test_whoever_has_chosen_no_library_still_has_the_usual_one(self):
        settings.write("library", "")
        slicer.selfTests["VoxMMSDTrain"]()
        self.assertEqual(self.open_panel("VoxMMSDTrain").library.folder, home() / "library")
