"""Choosing between two segmentations without knowing whose they are."""

import phantom_case
import slicer
import slicer_case
import train_case
from model_record import write_model_record

from voxmmsd.corrections.blinded import offer_pair, pairs
from voxmmsd.files import write_json_atomic
from VoxMMSDLib.background import at_once
from VoxMMSDTrainLib.both_models import open_pair
from VoxMMSDTrainLib.compared import Shown
from VoxMMSDTrainLib.curves import color_of


class TrainUnnamedTest(train_case.TrainTest):
    def library_with_a_pair(self):
        library = self.library(predicted=1)
        case = library.case("phantom-007-000")
        label = library.read_label(case, case.newest)
        emptied = type(label)(0 * label.array, label.grid)
        offer_pair(library, case.id, {"old-1": label, "new-1": emptied}, case.newest.schema)
        return library

    def open_pair(self):
        library = self.library_with_a_pair()
        panel = self.open_panel("VoxMMSDTrain")
        panel.result.show(self.run_that_learned_from(library))
        panel.result.unnamed.open_pair()
        self.wait_for_work(panel)
        return library, panel

    def test_whoever_looks_at_others_meanwhile_answers_for_no_pair(self):
        _library, panel = self.open_pair()
        ui = panel.result.ui
        self.assertTrue(ui.firstButton.enabled)
        node = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
        panel.result.compared.show([Shown("old model", node, 0)])
        panel.showTab("Task")
        panel.showTab("Result")
        self.assertFalse(ui.firstButton.enabled or ui.equalButton.enabled)
        self.assertEqual(ui.unnamedNotice.text, "")

    @slicer_case.needs_main_window
    def test_a_pair_that_is_still_being_opened_when_the_module_is_left_waits_for_its_return(self):
        library = self.library_with_a_pair()
        own = phantom_case.add_volumes(phantom_case.phantom())["t2f"]
        segment, train = self.open_panel("VoxMMSDSegment"), self.open_panel("VoxMMSDTrain")
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        red.SetBackgroundVolumeID(own.GetID())
        train.enter()
        train.result.show(self.run_that_learned_from(library))
        train.result.unnamed.open_pair()
        self.assertTrue(train.work.is_running)
        train.exit()
        segment.enter()
        self.wait_for_work(train)
        displays = [node.GetDisplayNode() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
        self.assertEqual([display.GetVisibility() for display in displays], [0, 0])
        self.assertEqual(red.GetBackgroundVolumeID(), own.GetID())
        segment.exit()
        train.enter()
        slicer_case.wait_until(lambda: not train._views_back.is_at_work)
        self.assertEqual([display.GetVisibility() for display in displays], [1, 1])
        shown = slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID())
        self.assertEqual(shown.GetName(), "phantom-007-000 t1c")

    @slicer_case.needs_main_window
    def test_whoever_comes_back_before_all_is_open_finds_the_case_in_the_views(self):
        def is_seen():
            return bool(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))  # the images were not

        at_once(open_pair(self.library_with_a_pair().folder, is_seen))
        red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        self.assertEqual(slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID()).GetName(), "phantom-007-000 t1c")
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in nodes], [1, 1])

    def test_a_copy_of_what_is_compared_stays_when_another_case_is_opened(self):
        library, panel = self.open_pair()
        node = slicer.util.getNode("phantom-007-000 first")
        mine = slicer_case.clone(node, "mine")
        panel.library.ui.libraryPath.currentPath = str(library.folder)
        panel.library.choose("phantom-007-000")
        panel.library.ui.openButton.click()
        self.wait_for_work(panel)
        names = [one.GetName() for one in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
        self.assertEqual(sorted(names), ["mine", "phantom-007-000 labels"])
        self.assertTrue(slicer.mrmlScene.IsNodePresent(mine))

    def test_both_alike_is_written_down_in_plain_words(self):
        library, panel = self.open_pair()
        ui = panel.result.ui
        ui.equalButton.click()
        self.wait_for_work(panel)
        self.assertEqual(ui.unnamedNotice.text, "Recorded: both are equally good.")
        self.assertEqual(pairs(library)[0].choice, "equal")

    def test_a_choice_is_written_down_and_only_then_named(self):
        library = self.library_with_a_pair()
        panel = self.open_panel("VoxMMSDTrain")
        panel.result.show(self.run_that_learned_from(library))
        ui = panel.result.ui
        self.assertFalse(ui.unnamedBox.isHidden())
        self.assertFalse(ui.firstButton.enabled)
        panel.result.unnamed.open_pair()
        self.wait_for_work(panel)
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        names = [node.GetName() for node in nodes]
        self.assertEqual(names, ["phantom-007-000 first", "phantom-007-000 second"])
        self.assertNotIn("old-1", ui.unnamedNotice.text + "".join(names))
        self.tell_apart(ui, nodes)
        panel.showTab("Task")
        panel.showTab("Result")  # what was opened can be answered still
        ui.secondButton.click()
        self.wait_for_work(panel)
        (pair,) = pairs(library)
        self.assertEqual(pair.choice, "second")
        self.assertIn(f"It was {pair.chosen}. So far the new model was chosen in", ui.unnamedNotice.text)
        self.assertFalse(ui.secondButton.enabled)

    def tell_apart(self, ui, nodes):
        """Two segmentations lie over each other as outlines in two colors, or one of them is shown, in its tissues'."""
        self.assertFalse(ui.shownBox.isHidden())
        displays = [node.GetDisplayNode() for node in nodes]
        self.assertEqual([display.GetVisibility2DFill() for display in displays], [0, 0])
        colors = {tuple(display.GetSegmentOverrideColor("ED")) for display in displays}
        self.assertEqual(len(colors), 2)
        self.assertFalse(colors & {color_of(0), color_of(1)})  # the old model's and the new one's would tell
        for chosen, visible in ((1, [1, 0]), (2, [0, 1]), (0, [1, 1])):
            ui.shownChoice.setCurrentIndex(chosen)
            self.assertEqual([display.GetVisibility() for display in displays], visible)
            if chosen:
                self.assertEqual(displays[chosen - 1].GetVisibility2DFill(), 1)
                self.assertLess(displays[chosen - 1].GetSegmentOverrideColor("ED")[0], 0)

    def run_that_learned_from(self, library):
        """A finished run whose comparison rests on no patient."""
        run = self.folder / "home" / "runs" / "taught"
        options = {"folders": [str(library.folder)]}
        write_json_atomic(run / "status.json", {"verb": "finetune", "state": "finished", "step": 1, "total": 1})
        write_json_atomic(run / "config.json", {"options": options, "directory": str(self.folder)})
        write_model_record(run, "new-1")
        told = {"old": "old-1", "outcome": "unknown", "text": "no comparison is possible", "few": True, "regions": {}}
        write_json_atomic(run / "comparison.json", {**told, "cases": []})
        return run
