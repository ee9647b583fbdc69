"""What the modules' tests share: an empty scene, a folder of their own, a panel that is taken down again."""

import functools
import os
import tempfile
from pathlib import Path

import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from VoxMMSDLib.settings import PREFIX

MAX_OVERLOAD = 8.0


class ModuleTest(ScriptedLoadableModuleTest):
    """Base of the tests; runs in Slicer and in the headless host."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self._place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(self._place.cleanup)
        self.folder = Path(self._place.name)
        # Another test's stray file is none of this one's.
        self.addCleanup(setattr, slicer.app, "temporaryPath", slicer.app.temporaryPath)
        (self.folder / "temporary").mkdir()
        slicer.app.temporaryPath = str(self.folder / "temporary")
        # What the panels and their children find is what the test put there: no user's models, no starter model.
        for name, folder in (("VOXMMSD_HOME", "home"), ("VOXMMSD_BUNDLED", "no-starter")):
            self.addCleanup(_restore, name, os.environ.get(name))
            os.environ[name] = str(self.folder / folder)
        # Nor is a folder or a run that the user, or another test, has chosen; the user's choices are put back.
        chosen = _settings()
        self.addCleanup(_put_settings, chosen)
        _put_settings({})

    def open_panel(self, name, whole=True):
        """A new panel of the module; it is cleaned up and deleted after the test.

        ``whole``: also what a panel builds after its first tab.
        """
        panel = slicer.util.getNewModuleWidget(name)
        self.addCleanup(_take_down, panel)
        if whole and hasattr(panel, "finish_setup"):
            panel.finish_setup()
        return panel


def press_find(panel):
    """Press *Find them* and wait for what it finds."""
    panel.ui.findButton.click()
    wait_until(lambda: not panel.segment_tab.is_searching)


def clone(node, name):
    """A copy of a node, as *Clone* of the module Data makes it."""
    tree, logic = slicer.mrmlScene.GetSubjectHierarchyNode(), slicer.modules.subjecthierarchy.logic()
    return tree.GetItemDataNode(logic.CloneSubjectHierarchyItem(tree, tree.GetItemByDataNode(node), name))


def needs_main_window(test):
    """Marks a test that needs slice views or an active effect of the segment editor.

    Without a main window Slicer has no views, and crashes as soon as an effect is active.
    """

    @functools.wraps(test)
    def run(self):
        if slicer.app.layoutManager() is None:
            self.skipTest("without a main window Slicer has no views, and an active effect crashes it")
        test(self)

    run.needs_main_window = True
    return run


def long(test):
    """Marks a test method that takes long: ``make test-long`` runs it, and so does Slicer."""
    test.is_long = True
    return test


def wait_until(condition, seconds=120):
    """Let Slicer's event loop run until ``condition()``; raises TimeoutError after ``seconds``.

    They are those of a machine with nothing else to do; where more is at work than there are cores, they are longer.
    """
    import time

    begun = time.monotonic()
    while not condition():
        if time.monotonic() > begun + seconds * _overload():
            raise TimeoutError(f"not reached in {seconds} s, times {_overload():.1f} for what else is at work")
        slicer.app.processEvents()
        time.sleep(0.02)


def _overload():
    """How often over the cores are in use, as the system tells it: from 1 to MAX_OVERLOAD."""
    if not hasattr(os, "getloadavg"):  # Windows
        return 1.0
    return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), MAX_OVERLOAD)


def _take_down(panel):
    """Slicer keeps each representation of a module, and crashes at its exit where two are left; ``deleteLater`` is too
    late for it. A deleted panel must not be cleaned up once more when the modules are unloaded.
    """
    panel.cleanup()
    manager = slicer.app.moduleManager()
    manager.disconnect("moduleAboutToBeUnloaded(QString)", panel._onModuleAboutToBeUnloaded)
    panel.parent.delete()


def _settings():
    """What the modules keep in Slicer's settings."""
    kept = qt.QSettings()
    return {key: kept.value(key) for key in kept.allKeys() if key.startswith(PREFIX)}


def _put_settings(wanted):
    kept = qt.QSettings()
    for key in set(_settings()) - set(wanted):
        kept.remove(key)
    for key, value in wanted.items():
        kept.setValue(key, value)


def _restore(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
