"""The panel: a tab per step of training a model, each with a class of its own.

The pages are there when Slicer shows the panel; the tabs' objects, which read and draw, follow in slices, or at once
where one of them is asked for.
"""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from VoxMMSDLib.background import Slices, Steps, Work, to_error_log
from VoxMMSDLib.one_patient import show_case_only
from VoxMMSDLib.pages import FitsItsText, Page
from VoxMMSDLib.patient_views import PATIENT_VIEWS
from VoxMMSDLib.reload import renew_packages
from VoxMMSDTrainLib.library import LibraryTab
from VoxMMSDTrainLib.library_case import opened_nodes, opened_volumes, show
from VoxMMSDTrainLib.logic import VoxMMSDTrainLogic
from VoxMMSDTrainLib.presence import Presence
from VoxMMSDTrainLib.result import ResultTab
from VoxMMSDTrainLib.run import RunTab
from VoxMMSDTrainLib.task import TaskTab

TABS = ("Library", "Task", "Run", "Result")
BUILT_LATER = ("run", "work", "library", "task", "result")


class VoxMMSDTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the tabs together and lets them know of each other's results."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.moduleName = "VoxMMSDTrain"
        self.logic: VoxMMSDTrainLogic  # both from ``setup`` on
        self.ui: Page
        self.presence = Presence()
        self._building: Slices | None = None
        self._views_back: Slices | None = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/VoxMMSDTrain.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = VoxMMSDTrainLogic()
        self._fit = FitsItsText()
        titles = dict(zip(TABS, (_("Library"), _("Task"), _("Run"), _("Result")), strict=True))
        pages = {name: self._tab(name, title) for name, title in titles.items()}
        self._building = Slices(self._setup_steps(pages), lambda _: None, to_error_log).start()

    def _setup_steps(self, pages) -> Steps:
        yield _read_models
        self.run = RunTab(pages["Run"], self.logic, self.onRunFinished)
        yield
        self.work = Work()
        self.library = LibraryTab(pages["Library"], self.run, self.work, self.presence, self.onLibraryChanged)
        yield
        self.task = TaskTab(pages["Task"], self.logic, self.run, lambda: self.showTab("Run"))
        yield
        refreshes = (self.task.refresh, self.library.refresh)
        self.result = ResultTab(pages["Result"], self.run, self.work, self.presence, refreshes)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.tabs.connect("currentChanged(int)", self.onTabChanged)
        self.run.open()
        if getattr(self.parent, "isEntered", False):
            yield
            self.onTabChanged(self.ui.tabs.currentIndex)

    def finish_setup(self):
        """Build now what would follow in slices."""
        if self._building is not None:
            self._building.finish()

    def __getattr__(self, name):
        if name in BUILT_LATER:
            self.finish_setup()
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def enter(self):
        is_unseen = self.presence.come_back()
        if "library" in vars(self):
            self.library.enter()
        if opened_nodes():
            show_case_only()
            views = show(opened_volumes()) if is_unseen and opened_volumes() else PATIENT_VIEWS.case()
            self._views_back = Slices(views, lambda _: None, to_error_log).start()
        if self._building is None or not self._building.is_at_work:
            self.run.open()
            self.onTabChanged(self.ui.tabs.currentIndex)

    def exit(self):
        if self._views_back is not None:
            self._views_back.finish()
        self.presence.leave()
        self.library.exit()
        self.run.close()

    def showTab(self, name):
        self.ui.tabs.setCurrentIndex(TABS.index(name))

    def onTabChanged(self, number):
        """Other modules and other processes may have changed what a tab shows."""
        tab = (self.library, self.task, self.run, self.result)[number]
        if not isinstance(tab, RunTab):
            tab.refresh()

    def onRunFinished(self, folder):
        self.result.show(folder)
        self.library.refresh()

    def onLibraryChanged(self):
        self.task.learn_from(self.library.folder)
        self.task.refresh()

    def onSceneStartClose(self, caller, event):
        if self._views_back is not None:
            self._views_back.stop()
        PATIENT_VIEWS.forget()
        self.work.stop()

    def onSceneEndClose(self, caller, event):
        self.run.redraw()
        self.result.redraw()
        self.library.refresh()

    def onSceneEndImport(self, caller, event):
        self.library.refresh()  # a case may be open in the scene that was loaded

    def cleanup(self):
        if self._views_back is not None:
            self._views_back.stop()
        if self._building is not None:
            self._building.stop()
        built = vars(self)  # what was not built yet is not built to be closed
        if "work" in built:
            self.work.stop()
        for tab in (built[name] for name in ("run", "library", "task", "result") if name in built):
            tab.cleanup()
        if "logic" in built:  # where setup() failed half way, Slicer still cleans up
            self.logic.cleanup()
        self.removeObservers()

    def onReload(self):
        renew_packages(self.moduleName)
        ScriptedLoadableModuleWidget.onReload(self)

    def _tab(self, name: str, title: str) -> Page:
        """Load a tab's ``.ui`` file; its widgets by name."""
        page = slicer.util.loadUI(self.resourcePath(f"UI/{name}.ui"))
        page.installEventFilter(self._fit)
        self.ui.tabs.addTab(page, title)
        return slicer.util.childWidgetVariables(page)


def _read_models() -> None:
    """In a thread: each file of each model is hashed, for the first time, and the tabs find it done."""
    import voxmmsd.library  # noqa: F401 - the first tab reads it
    from voxmmsd.models.registry import list_models

    list_models()
