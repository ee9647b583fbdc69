"""The whole way with the real child process: from the Apply button to a segmentation that is the command line's own."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import slicer_case
import stripping
from phantom_case import TOY_MODEL, add_result, moved, paint, phantom
from slicer_case import press_find, wait_until

from voxmmsd.errors import ResultWithheldError, VoxMMSDError
from voxmmsd.labels import MODALITIES
from voxmmsd.models.registry import registry_folder
from voxmmsd.models.subsets import SUBSETS, subset_key
from voxmmsd.phantom import write_phantom
from VoxMMSDLib.child import child_environment, python_slicer
from VoxMMSDLib.segments import label_array, mask_of, value_of
from VoxMMSDLib.standby import STANDBY
from VoxMMSDSegmentLib.job import Options
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.result import BRAIN_MASK, reference_of, step_of, warnings_of
from VoxMMSDSegmentLib.rounds import PREDICTED_LABELS
from VoxMMSDSegmentLib.words import error_in_words, in_panel_words


def expects_nothing_of_t1_alone(models):
    """The models' cards now say that a whole tumor is not found in T1 alone."""
    for file in models.glob("*/model.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        dice = {subset_key(subset): {"WT": 0.1 if subset == ("t1n",) else 0.8} for subset in SUBSETS}
        record["scores"]["subsets"] = {"split": "test", "cases": ["a"], "created": "", "dice": dice}
        file.write_text(json.dumps(record), encoding="utf-8")


class RunTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.made = phantom()
        self.case = write_phantom(self.made, self.folder / "cases", "case")
        self.volumes = {
            key: slicer.util.loadVolume(str(self.case / f"case-{key}.nii.gz"), {"name": f"visit1 {key}"})
            for key in MODALITIES
        }

    def by_command_line(self):
        import nibabel

        out = self.folder / "out"
        command = [
            python_slicer(),
            "-m",
            "voxmmsd",
            "segment",
            str(self.case),
            "--out",
            str(out),
            "--model",
            str(TOY_MODEL),
        ]
        subprocess.run(command, check=True, env=child_environment(), capture_output=True)
        return np.asarray(nibabel.load(out / "case-voxmmsd.nii.gz").dataobj).T

    def left_behind(self):
        return list(Path(slicer.app.temporaryPath).glob("voxmmsd-*"))

    def test_files_in_slicers_working_directory_are_no_modules_of_the_core(self):
        for name in ("voxmmsd", "json"):
            (self.folder / name).mkdir()
            (self.folder / name / "__init__.py").write_text("raise SystemExit('a stranger')", encoding="utf-8")
        command = [python_slicer(), "-m", "voxmmsd", "models", "list"]
        done = subprocess.run(command, cwd=self.folder, env=child_environment(), capture_output=True, encoding="utf-8")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_apply_gives_the_command_lines_result_and_a_second_run_a_new_node(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(TOY_MODEL)
        press_find(panel)
        panel.ui.applyButton.click()
        self.assertEqual(panel.ui.applyButton.text, "C&ancel")
        wait_until(lambda: panel.segment_tab.job is None)
        first = panel.parameters.result
        self.assertIsNotNone(first, panel.ui.errorLabel.text + panel.ui.logText.plainText)
        self.assertTrue(np.array_equal(label_array(first, self.volumes["t1c"]), self.by_command_line()))
        self.assertIs(reference_of(first), self.volumes["t1c"])
        self.assertNotIn("visit1", panel.ui.logText.plainText)
        self.assertEqual(self.left_behind(), [])
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIsNot(panel.parameters.result, first)
        self.assertIsNotNone(slicer.mrmlScene.GetNodeByID(first.GetID()))

    def test_a_second_apply_is_done_by_the_process_that_waits_and_gives_the_same(self):
        panel = self.ready_panel()
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        first, waiting = panel.parameters.result, STANDBY.pid
        self.assertIsNotNone(waiting, panel.ui.errorLabel.text)
        pids = []
        take = STANDBY.take

        def watched(arguments, environment):
            process = take(arguments, environment)
            pids.append(process and process.pid)
            return process

        with mock.patch.object(STANDBY, "take", watched):
            panel.ui.applyButton.click()
            wait_until(lambda: panel.segment_tab.job is None)
        self.assertEqual(pids, [waiting])
        second, reference = panel.parameters.result, self.volumes["t1c"]
        self.assertIsNot(second, first)
        self.assertTrue(np.array_equal(label_array(second, reference), label_array(first, reference)))
        self.assertEqual(self.left_behind(), [])
        self.assertNotIn(STANDBY.pid, (None, waiting))
        panel.cleanup()
        self.assertIsNone(STANDBY.pid)

    def canceled_at(self, panel, stage):
        """Press the button when the panel names the stage, and check that nothing is left; False if it never did."""
        nodes, tab, jobs = slicer.mrmlScene.GetNumberOfNodes(), panel.segment_tab, []
        say = tab._say
        tab._cancel_timer.setInterval(1)  # else a fast computer has left the stage before the button comes back

        def say_and_press(text):
            say(text)
            if stage in text and not jobs and tab.job is not None and panel.ui.applyButton.enabled:
                jobs.append(tab.job)
                panel.ui.applyButton.click()

        with mock.patch.object(tab, "_say", say_and_press):  # it must not press in a later run that names the stage
            panel.ui.applyButton.click()
            say_and_press(panel.ui.stageLabel.text)
            wait_until(lambda: tab.job is None, 600)
        if not jobs:
            self.assertIsNotNone(panel.parameters.result, panel.ui.errorLabel.text)
            return False
        folder = jobs[0]._folder
        self.assertEqual((panel.ui.stageLabel.text, panel.ui.applyButton.text), ("Canceled.", "&Apply"))
        self.assertFalse(folder.exists())
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self.assertEqual(self.left_behind(), [])
        return True

    def ready_panel(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(TOY_MODEL)
        press_find(panel)
        return panel

    def test_the_second_click_of_a_double_click_cancels_nothing(self):
        panel = self.ready_panel()
        panel.ui.applyButton.click()
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIsNotNone(panel.parameters.result, panel.ui.stageLabel.text)

    def test_progress_says_from_the_first_moment_how_long_it_will_take(self):
        panel, seen = self.ready_panel(), []
        show = panel.segment_tab._show_progress
        panel.segment_tab._show_progress = lambda progress: (seen.append(progress), show(progress))
        panel.ui.applyButton.click()
        self.assertEqual(panel.ui.progressBar.maximum, 1000)
        self.assertIn("left", panel.ui.stageLabel.text)
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertFalse([progress for progress in seen if progress.share is None or progress.seconds_left is None])
        shares = [progress.share for progress in seen]
        # A standby process is through with a small case within a few looks at its events.
        self.assertGreater(len({round(share, 2) for share in shares}), 3)
        self.assertEqual(shares, sorted(shares))
        self.assertIn("Showing", seen[-1].stage)

    def test_an_input_that_is_deleted_while_it_runs_is_refused_by_the_panels_name_for_it(self):
        panel = self.ready_panel()
        panel.ui.applyButton.click()
        slicer.mrmlScene.RemoveNode(self.volumes["t2w"])
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIn("given as T2 was deleted", panel.ui.errorLabel.text)
        self.assertIsNone(panel.parameters.result)

    def test_canceling_before_the_images_are_written_leaves_no_trace(self):
        panel = self.ready_panel()
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        for wait in (lambda job: True, lambda job: job._slices._call is not None):
            panel.ui.applyButton.click()
            job = panel.segment_tab.job
            wait_until(lambda wait=wait, job=job: wait(job))
            job.cancel()
            self.assertIsNone(panel.segment_tab.job)
            self.assertEqual(panel.ui.stageLabel.text, "Canceled.")
            self.assertEqual(self.left_behind(), [])
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_canceling_at_the_start_leaves_no_trace(self):
        self.assertTrue(self.canceled_at(self.ready_panel(), "Starting"))

    @unittest.skipIf(sys.platform == "win32", "the stripper's stand-in is a shell script")
    def test_canceling_while_a_program_strips_the_skull_ends_that_too(self):
        self.addCleanup(stripping.stand_in())
        panel = self.ready_panel()
        panel.ui.stripCombo.setCurrentIndex(panel.ui.stripCombo.findData("hd-bet"))
        self.assertTrue(self.canceled_at(panel, "Extracting the brain"))

    @slicer_case.long
    def test_canceling_leaves_no_trace_at_whatever_stage(self):
        panel = self.ready_panel()
        panel.parameters.align = True
        seen = []
        for stage in ("Reading", "Aligning", "Segmenting", "Writing"):
            with self.subTest(stage):
                seen += [stage] if self.canceled_at(panel, stage) else []
        # A stage of some hundredths of a second may pass between two looks of the panel; this one takes seconds.
        self.assertIn("Aligning", seen)

    def test_a_result_of_moved_images_lies_where_they_are_seen(self):
        for node in self.volumes.values():
            moved(node, 20.0, 5.0, -7.0)
        result = VoxMMSDSegmentLogic().segment(self.volumes, str(TOY_MODEL), options=Options(uncertainty=False))
        self.assertTrue(np.array_equal(label_array(result, self.volumes["t1c"]), self.by_command_line()))
        bounds = np.zeros(6)
        result.GetRASBounds(bounds)
        straight = np.zeros(6)
        self.volumes["t1c"].GetRASBounds(straight)
        self.assertTrue((bounds[::2] >= straight[::2] - 1).all() and (bounds[1::2] <= straight[1::2] + 1).all())

    @unittest.skipIf(sys.platform == "win32", "the stripper's stand-in is a shell script")
    def test_what_is_aligned_and_stripped_is_added_as_volumes_and_taught(self):
        from voxmmsd.library import open_library

        self.addCleanup(stripping.stand_in(stripping.AT_ONCE))
        moved(self.volumes["t2f"], 8.0, 0.0, 0.0)
        panel = self.ready_panel()
        panel.ui.stripCombo.setCurrentIndex(panel.ui.stripCombo.findData("hd-bet"))
        panel.parameters.align = True
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        result = panel.parameters.result
        self.assertIsNotNone(result, panel.ui.errorLabel.text)
        aligned, t1c = step_of(result, "t2f"), self.volumes["t1c"]
        off = np.abs(slicer.util.arrayFromVolume(aligned) - slicer.util.arrayFromVolume(self.volumes["t2f"])).mean()
        self.assertLess(off, 0.1 * slicer.util.arrayFromVolume(aligned).mean())
        self.assertEqual(slicer.util.arrayFromVolume(aligned).shape, slicer.util.arrayFromVolume(t1c).shape)
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        for node in (aligned, result.GetNodeReference(BRAIN_MASK)):
            places = [tree.GetItemParent(tree.GetItemByDataNode(one)) for one in (node, t1c)]
            self.assertEqual(*places)
        press_find(panel)
        self.assertEqual(panel.segment_tab.volumes(), self.volumes)
        VoxMMSDSegmentLogic().accept(result, self.folder / "library", "site1-007")
        library = open_library(self.folder / "library")
        case = library.case("site1-007")
        import nibabel

        kept = np.asarray(nibabel.load(case.image_file("t2f")).dataobj).T
        inside = mask_of(result.GetNodeReference(BRAIN_MASK), ["Brain"], t1c)
        self.assertTrue(np.allclose(kept, np.where(inside, slicer.util.arrayFromVolume(aligned), 0), atol=1e-3))

    def test_all_images_are_kept_as_they_were_segmented_where_bias_fields_were_removed(self):
        panel = self.ready_panel()
        panel.parameters.n4 = True
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        result = panel.parameters.result
        self.assertIsNotNone(result, panel.ui.errorLabel.text)
        steps = {key: step_of(result, key) for key in MODALITIES}
        self.assertNotIn(None, steps.values())
        for key, given in self.volumes.items():
            corrected, raw = (slicer.util.arrayFromVolume(node) for node in (steps[key], given))
            self.assertFalse(np.allclose(corrected, raw, rtol=1e-2), key)

    def test_replacing_asks_and_undo_brings_back_what_was_drawn(self):
        looked_at = add_result(self.made, self.volumes, self.folder).GetNodeReferenceID(PREDICTED_LABELS)
        before = add_result(self.made, self.volumes, self.folder)
        drawn = np.zeros(self.made.label_zyx.shape, bool)
        drawn[20:26, 20:26, 20:26] = True
        paint(before, "ET", drawn, self.volumes["t1c"])
        mine = label_array(before, self.volumes["t1c"])
        panel = self.ready_panel()
        panel.ui.replaceCheck.setChecked(True)
        layers = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        for answer in (False, True):
            for layer in layers:  # by the user
                layer.SetLabelVolumeID(looked_at)
            with mock.patch("slicer.util.confirmYesNoDisplay", return_value=answer) as asked:
                panel.ui.applyButton.click()
                wait_until(lambda: panel.segment_tab.job is None)
            self.assertIn(before.GetName(), asked.call_args.args[0])
            self.assertEqual(panel.parameters.result is before, answer, panel.ui.errorLabel.text)
            self.assertEqual({layer.GetLabelVolumeID() for layer in layers}, {looked_at} if layers else set())
            if not answer:
                self.assertTrue(np.array_equal(label_array(before, self.volumes["t1c"]), mine))
                slicer.mrmlScene.RemoveNode(panel.parameters.result)
        self.assertTrue(np.array_equal(label_array(before, self.volumes["t1c"]), self.by_command_line()))
        panel.ui.segmentEditor.undo()
        self.assertTrue(np.array_equal(label_array(before, self.volumes["t1c"]), mine))
        self.assertEqual(value_of(before.GetSegmentation().GetSegment("ET")), 3)

    def test_an_error_is_one_sentence_with_a_way_out_and_the_panel_works_on(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(TOY_MODEL)
        panel.parameters.t1c = panel.parameters.t1n = self.volumes["t1c"]
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIn("same volume", panel.ui.errorLabel.text)
        self.assertNotIn("Traceback", panel.ui.errorLabel.text)
        self.assertNotIn(tempfile.gettempdir(), panel.ui.errorLabel.text)
        self.assertTrue(panel.ui.applyButton.enabled)
        self.assertEqual(self.left_behind(), [])

    def test_a_withheld_result_is_shown_once_that_is_asked_for_and_says_what_speaks_against_it(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(TOY_MODEL)
        expects_nothing_of_t1_alone(registry_folder())
        panel.parameters.t1n = self.volumes["t1n"]
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIsNone(panel.parameters.result)
        self.assertIn("withheld", panel.ui.errorLabel.text)
        self.assertFalse(panel.ui.anywayButton.isHidden())
        panel.ui.anywayButton.click()
        wait_until(lambda: panel.segment_tab.job is None)
        self.assertIsNotNone(panel.parameters.result, panel.ui.errorLabel.text)
        self.assertTrue(panel.ui.anywayButton.isHidden())
        said = " ".join(warnings_of(panel.parameters.result))
        self.assertIn("expects a Dice of 0.10 for the whole tumor", said)
        self.assertEqual(self.left_behind(), [])

    def test_other_images_take_back_the_offer_to_show_what_was_withheld(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab._failed(ResultWithheldError("cannot be true", "look at it"))
        self.assertFalse(panel.ui.anywayButton.isHidden())
        panel.parameters.t1n = self.volumes["t1n"]
        self.assertTrue(panel.ui.anywayButton.isHidden())
        panel.segment_tab._failed(VoxMMSDError("another", "error"))
        self.assertTrue(panel.ui.anywayButton.isHidden())

    def test_a_fault_of_ours_is_said_as_one_and_goes_to_the_error_log(self):
        panel = self.open_panel("VoxMMSDSegment")
        with self.assertLogs(level="ERROR") as told:
            panel.segment_tab._failed(KeyError("labels"))
        self.assertIn("unexpected error occurred in Vox-MMSD (KeyError: ", panel.ui.errorLabel.text)
        self.assertIn("report it", panel.ui.errorLabel.text)
        self.assertIn("labels", told.output[0])

    def test_the_cores_names_are_the_panels_but_those_of_files_stay(self):
        said = in_panel_words("case case: t1n, t2w: see /tmp/a/t1n.nii.gz, case-t1n.nii and t1n/x")
        self.assertEqual(said, "T1, T2: see /tmp/a/t1n.nii.gz, case-t1n.nii and t1n/x")

    def test_what_the_core_says_of_the_command_line_names_what_the_panel_has(self):
        from voxmmsd.inference.memory import parse_bytes, refuse_too_small
        from voxmmsd.inference.results import withheld_error

        remedy = in_panel_words(withheld_error("case", ["blocking: too much"]).remedy)
        self.assertEqual(remedy, "Correct the images or their slots and segment again, or press Show it anyway")
        with self.assertRaises(VoxMMSDError) as unread:
            parse_bytes("much")
        self.assertEqual(error_in_words(unread.exception)[0], "Memory much: is not an amount of memory")
        with self.assertRaises(VoxMMSDError) as small:
            refuse_too_small(2**20, 0, (100, 100, 100), 0)
        self.assertEqual(error_in_words(small.exception)[1], "set Memory to at least 50M")
        remedy = in_panel_words("allow more with --memory, or close other programs")
        self.assertEqual(remedy, "set Memory to more, or close other programs")

    def test_a_script_gets_the_cores_error(self):
        with self.assertRaisesRegex(VoxMMSDError, "no-such-model"):
            VoxMMSDSegmentLogic().segment(self.volumes, "no-such-model")

    def test_closing_the_scene_while_it_runs_ends_the_child(self):
        panel = self.open_panel("VoxMMSDSegment")
        panel.segment_tab.models.import_file(TOY_MODEL)
        press_find(panel)
        panel.ui.applyButton.click()
        wait_until(lambda: panel.segment_tab.job.child is not None)
        process = panel.segment_tab.job.child._process
        slicer.mrmlScene.Clear()
        self.assertIsNotNone(process.poll())
        self.assertIsNone(panel.segment_tab.job)
        self.assertEqual(self.left_behind(), [])
