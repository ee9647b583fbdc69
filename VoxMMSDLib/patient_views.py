"""The slice views of one patient at a time: those of the library case that is open, or those that were before it.

Both modules share the views. Each gives them back as they were when it was left; a view into which the user has put
another image meanwhile stays as it is.
"""

from __future__ import annotations

from typing import Any

import slicer

from VoxMMSDLib import slice_views
from VoxMMSDLib.background import Steps
from VoxMMSDLib.one_patient import is_of_case, show_case_only, show_results_only
from VoxMMSDLib.slice_views import SliceView, background_of
from VoxMMSDLib.volumes import SCALAR


class PatientViews:
    """In memory only: a scene that closes takes the images along."""

    def __init__(self) -> None:
        self._before: dict[str, SliceView] | None = None  # None: no case is shown
        self._case: dict[str, SliceView] = {}

    def keep(self) -> None:
        """A case is going to be shown; what is shown now comes back with ``before_case``."""
        self._case = {}
        if self._before is None:
            self._before = {name: SliceView.now(name) for name in slice_views.names()}

    def keep_case_alone(self) -> bool:
        """A result has come into the scene: hide what is of other images where a case is shown; whether one is."""
        is_shown = self._before is not None and any(map(is_of_case, slicer.util.getNodesByClass(SCALAR)))
        if is_shown:
            show_case_only()
        return is_shown

    def before_case(self, chosen: Any) -> Steps:
        """Steps that bring back what was in the views before the case, one view each.

        ``chosen``: a volume, or None, for views that were empty or showed what is gone. Where there is neither, and
        where it is an image of the case itself, the case stays.
        """
        before, self._before = self._before or {}, None
        if chosen is not None and is_of_case(chosen):
            before = {}
        shown = {name: background_of(name) for name in before}
        wanted = {
            name: view
            for name, view in before.items()
            if (shown[name] is None or is_of_case(shown[name])) and (_is_there(view) or chosen is not None)
        }
        if wanted:
            self._case = {name: SliceView.now(name) for name in wanted}
            show_results_only(always=True)
        return _restoring(wanted, chosen)

    def case(self) -> Steps:
        """Steps that bring back the case as it was shown, one view each."""
        case, self._case = self._case, {}
        if case and self._before is None:
            self._before = {name: SliceView.now(name) for name in slice_views.names()}
        return _restoring(case, None)

    def forget(self) -> None:
        """The scene closes: ids are another scene's afterwards."""
        self._before, self._case = None, {}


PATIENT_VIEWS = PatientViews()


def _restoring(views: dict[str, SliceView], else_shown: Any) -> Steps:
    with slice_views.unlinked(list(views)):
        for name, view in views.items():
            yield
            if _is_there(view):
                view.restore(name)
            elif else_shown is not None and slicer.mrmlScene.IsNodePresent(else_shown):
                slice_views.composite_node(name).SetBackgroundVolumeID(else_shown.GetID())
                slice_views.fit(name)


def _is_there(view: SliceView) -> bool:
    """Whether the image that it showed is in the scene."""
    return bool(view.volumes[0]) and slicer.mrmlScene.GetNodeByID(view.volumes[0]) is not None
