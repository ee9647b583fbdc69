"""Reload in developer mode: all of it is new, both modules together, and the case stays."""

import sys

import slicer
import slicer_case
from phantom_case import add_result, add_volumes, phantom

from VoxMMSDLib.reload import MODULES, PACKAGES


class ReloadTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        ours = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in PACKAGES}
        tops = {name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in MODULES}
        self.addCleanup(self.bring_back, ours, tops)

    def bring_back(self, ours, tops):
        """For the tests after this one, which imported what was there before."""
        for name in [name for name in list(sys.modules) if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        sys.modules.update(ours)
        for name, (module, contents) in tops.items():
            sys.modules[name] = module
            vars(module).update(contents)

    def frame(self, name):
        """The frame that Slicer keeps of a module's panel."""
        frame = getattr(slicer.modules, name.lower()).widgetRepresentation()
        self.addCleanup(lambda: frame.self().cleanup())
        return frame

    def test_a_reloaded_module_is_new_to_its_last_file_and_shows_the_same_case(self):
        frame = self.frame("VoxMMSDSegment")
        frame.enter()
        old, made = frame.self(), phantom()
        node = add_volumes(made, ("t1c",))["t1c"]
        old.parameters.t1c = node
        old.parameters.result = result = add_result(made, {"t1c": node}, self.folder)
        old.onReload()
        new = slicer.modules.VoxMMSDSegmentWidget
        self.assertIsNot(type(new.segment_tab), type(old.segment_tab))
        self.assertIs(new.ui.t1cSelector.currentNode(), node)
        self.assertIs(new.ui.segmentEditor.segmentationNode(), result)
        slicer.mrmlScene.RemoveNode(node)
        self.assertEqual(new.segment_tab.volumes(), {})
        self.assertIsNone(old.parameters)
        frame.exit()

    def test_reloading_one_module_renews_the_other_which_works_on(self):
        frames = {name: self.frame(name) for name in MODULES}
        for name in MODULES:
            before = {other: frame.self() for other, frame in frames.items()}
            frames[name].self().onReload()
            for other, frame in frames.items():
                self.assertIsNot(type(frame.self()), type(before[other]))
            for frame in frames.values():  # both ask for a model and meet the core's error: there is none
                frame.enter()
                frame.exit()
