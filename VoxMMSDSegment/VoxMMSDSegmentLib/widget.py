"""The panel: three tabs, and the manners of a module (scene, reload, leaving, ending).

The first tab is there when Slicer shows the panel. Its models, whose files are hashed, and the other tabs, one of them
with its segment editor, take longer: they follow in slices, or at once where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from voxmmsd.labels import MODALITIES
from VoxMMSDLib.background import Slices, Steps, to_error_log
from VoxMMSDLib.one_patient import SHOWN_FIRST, show_results_only
from VoxMMSDLib.patient_views import PATIENT_VIEWS
from VoxMMSDLib.reload import renew_packages
from VoxMMSDLib.segments import is_result
from VoxMMSDLib.standby import STANDBY
from VoxMMSDLib.timers import once_after
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDSegmentLib.clones import adopt_clones
from VoxMMSDSegmentLib.diameter_lines import remove_empty_folders
from VoxMMSDSegmentLib.follow_tab import FollowTab
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic
from VoxMMSDSegmentLib.result import belonging, needed_by_others, reference_of
from VoxMMSDSegmentLib.review_tab import ReviewTab
from VoxMMSDSegmentLib.segment_tab import SegmentTab
from VoxMMSDSegmentLib.selectors import empty_when_deleted, leave_out_derived


class VoxMMSDSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Shows what there is and hands every action to the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.moduleName = "VoxMMSDSegment"
        self.logic: VoxMMSDSegmentLogic  # these three from ``setup`` on
        self.ui: Widgets
        self.segment_tab: SegmentTab
        self.parameters: Any = None
        self._review_tab: ReviewTab | None = None
        self._follow_tab: FollowTab | None = None
        self._building: Slices | None = None
        self._views_back: Slices | None = None
        self._gui_tags: list[Any] = []
        self._pages: list[Any] = []  # those that follow the parameters
        self._orphans: list[str] = []
        self._orphans_timer = once_after(0, self._remove_orphans)
        self._import_timer = once_after(0, self._take_up_imported)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/VoxMMSDSegment.ui"))
        self.layout.addWidget(panel)
        self.ui = Widgets(self.finish_setup)
        self.ui.add(panel)
        self._pages = [self.ui.segmentTab]
        empty_when_deleted(self._inputs())
        self.logic = VoxMMSDSegmentLogic()
        self.segment_tab = SegmentTab(self.ui, self.logic, self.show_new, self._on_replacing)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._on_imported)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAboutToBeRemovedEvent, self._on_node_going)
        self._follow(self.logic.getParameterNode())
        self._building = Slices(self._setup_steps(), lambda _: None, to_error_log).start()
        if self._is_entered:  # after a reload, Slicer does not enter again
            self.enter()

    def _setup_steps(self) -> Steps:
        yield from self.segment_tab.read_models()
        yield
        page = slicer.util.loadUI(self.resourcePath("UI/Review.ui"))
        page.setVisible(False)  # until it does what its buttons say
        self.ui.reviewTab.layout().addWidget(page)
        yield
        self.ui.add(page)
        yield
        empty_when_deleted([self.ui.resultSelector])
        leave_out = partial(leave_out_derived, self._inputs())
        tab = ReviewTab(self.ui, self.logic, self.addObserver, self.removeObserver, leave_out)
        yield
        page.setVisible(True)
        self._pages.append(page)
        self._review_tab = tab
        if self.parameters is not None:
            self._gui_tags.append(self.parameters.connectGui(page))
            tab.show(self.parameters.result)
        if self._is_entered:
            tab.enter()
        yield
        yield from self._follow_steps(leave_out)

    def _follow_steps(self, leave_out) -> Steps:
        page = slicer.util.loadUI(self.resourcePath("UI/FollowUp.ui"))
        page.setVisible(False)
        self.ui.followTab.layout().addWidget(page)
        yield
        self.ui.add(page)
        empty_when_deleted([self.ui.visitSelector])
        yield
        tab = FollowTab(self.ui, self.logic, leave_out)
        page.setVisible(True)
        self._follow_tab = tab
        if self._is_entered:
            tab.enter()

    def finish_setup(self):
        """Build now what would follow in slices."""
        if self._building is not None:
            self._building.finish()

    @property
    def review_tab(self) -> ReviewTab:
        """The second tab; built now where its turn has not come yet."""
        self.finish_setup()
        assert self._review_tab is not None
        return self._review_tab

    @property
    def follow_tab(self) -> FollowTab:
        """The third tab; built now where its turn has not come yet."""
        self.finish_setup()
        assert self._follow_tab is not None
        return self._follow_tab

    @property
    def _is_entered(self):
        return getattr(self.parent, "isEntered", False)

    def enter(self):
        show_results_only()
        adopt_clones()
        if self.parameters is None:
            self._follow(self.logic.getParameterNode())
        views = PATIENT_VIEWS.before_case(self._chosen_volume())
        self._views_back = Slices(views, lambda _: None, to_error_log).start()
        leave_out_derived(self._inputs())
        self.segment_tab.enter()
        for tab in (self._review_tab, self._follow_tab):
            if tab is not None:
                tab.enter()

    def exit(self):
        if self._views_back is not None:
            self._views_back.finish()
        for tab in (self._follow_tab, self._review_tab):
            if tab is not None:
                tab.exit()

    def cleanup(self):
        self._orphans_timer.stop()
        self._import_timer.stop()
        if self._views_back is not None:
            self._views_back.stop()
        STANDBY.close()
        if self._building is not None:
            self._building.stop()
        if self._follow_tab is not None:
            self._follow_tab.close()
        has_tab = "segment_tab" in vars(self)  # where setup() failed half way, Slicer still cleans up
        if has_tab:
            self.segment_tab.close()
        if self._review_tab is not None:
            self._review_tab.close()
        if has_tab:
            self._follow(None)
        self.removeObservers()

    def onReload(self):
        renew_packages(self.moduleName)
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self._orphans = []
        self._import_timer.stop()
        if self._views_back is not None:
            self._views_back.stop()
        PATIENT_VIEWS.forget()
        self.segment_tab.close()
        for tab in (self._follow_tab, self._review_tab):
            if tab is not None:
                tab.forget_scene()
        self._follow(None)

    def onSceneEndClose(self, caller, event):
        adopt_clones()
        self._follow(self.logic.getParameterNode())

    def _on_imported(self, caller, event):
        """Selectors, the segment editor and the data tree take up the new nodes only when the whole batch has ended."""
        self._import_timer.start()

    def _take_up_imported(self):
        if slicer.mrmlScene.IsBatchProcessing():
            self._import_timer.start()
            return
        adopt_clones()
        self._follow(self.logic.getParameterNode())
        if self._review_tab is not None:
            self._review_tab.edit_again()

    def _follow(self, parameters):
        if self.parameters is not None:
            for tag in self._gui_tags:
                self.parameters.disconnectGui(tag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_modified)
        self.parameters = parameters
        self.segment_tab.show(parameters)
        if parameters is not None:
            leave_out_derived(self._inputs())
            self._gui_tags = [parameters.connectGui(page) for page in self._pages]
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._on_modified)
            self._on_modified()

    def _on_modified(self, *_):
        self.segment_tab.on_parameters_modified()
        if self._review_tab is not None:
            self._review_tab.show(self.parameters.result)

    def _chosen_volume(self):
        """What the panel has chosen to look at: the image of the result, else one of the inputs."""
        chosen = self.parameters
        if chosen.result is not None and (reference := reference_of(chosen.result)) is not None:
            return reference
        return next((node for key in SHOWN_FIRST if (node := getattr(chosen, key)) is not None), None)

    def _inputs(self):
        ui = self.ui
        return (*(getattr(ui, f"{key}Selector") for key in MODALITIES), ui.brainMaskSelector)

    def show_new(self, result) -> Steps:
        """Show a result that has arrived, and the views where it is largest; Slicer draws it in between.

        Where the views show a library case, the result stays hidden until this module is entered.
        """
        leave_out_derived(self._inputs())
        self.follow_tab.give_views_back()
        for _step in self.review_tab.take_up(result):
            yield
            if not slicer.mrmlScene.IsNodePresent(result):  # the user was faster
                return
        self.parameters.result = result
        yield
        if not PATIENT_VIEWS.keep_case_alone():
            yield from self.review_tab.first_look()
        self.ui.tabs.setCurrentWidget(self.ui.reviewTab)

    def _on_replacing(self, result):
        if self._review_tab is not None and self._review_tab.result is result:
            self._review_tab.carry.stop(_("Stopped: the result was replaced."))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_going(self, caller, event, node):
        """A result that is deleted takes along what was made for it; not while the scene closes, which takes all."""
        if is_result(node) and not slicer.mrmlScene.IsClosing():
            self._orphans += [one.GetID() for one in belonging(node)]
            self._orphans_timer.start()

    def _remove_orphans(self):
        orphans, self._orphans = self._orphans, []
        kept = needed_by_others()
        for node_id in orphans:
            node = slicer.mrmlScene.GetNodeByID(node_id)
            if node is not None and node_id not in kept:
                remove_whole(node)
        remove_empty_folders()
        self.logic.case_folders.sweep()
        if self._follow_tab is not None:
            self._follow_tab.sweep()
        leave_out_derived(self._inputs())  # by ids, which other nodes may get


class Widgets:
    """The panel's widgets by name; where a name is not there yet, the rest of the panel is built first."""

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish

    def add(self, page) -> None:
        """Take the widgets of a file that was loaded, and let them see the scene."""
        found = vars(slicer.util.childWidgetVariables(page))
        for widget in (page, *found.values()):
            if hasattr(widget, "setMRMLScene"):
                widget.setMRMLScene(slicer.mrmlScene)
        vars(self).update(found)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            self._finish()
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"the panel has no widget named {name}") from None
