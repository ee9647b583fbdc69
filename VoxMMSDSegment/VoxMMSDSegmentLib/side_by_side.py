"""Two visits side by side in linked slice views, each with the outlines of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer

from VoxMMSDLib.background import Steps
from VoxMMSDLib.slice_views import SliceView, composite_node, fit, link, slice_node
from VoxMMSDSegmentLib.result import belonging, results

if TYPE_CHECKING:
    from VoxMMSDSegmentLib.shown_visits import ShownVisit

VIEWS = ("Red", "Yellow")  # of Slicer's layout Side by side
SETTLING_STEPS = 6  # until the views have the sizes that the layout gives them


class SideBySide:
    """The earlier visit in the left view, the later one in the right; ``hide`` gives the user's own views back."""

    def __init__(self) -> None:
        self._before: _Before | None = None
        self._shown: list[Any] = []
        self._is_laid_out = False

    @property
    def is_on(self) -> bool:
        return self._before is not None

    def show(self, first: ShownVisit, later: ShownVisit, structure: str) -> Steps:
        """Show two visits, with the outlines of a structure; where others are shown already, in their place and where
        the user is. Without a main window there are no views."""
        if any(slice_node(name) is None for name in VIEWS):
            return
        if self._before is None:
            self._before = _Before.now()
            yield
            _arrange(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        for _step in self._showing(first, later, structure):
            yield
            if self._before is None:  # the user was faster
                return

    def _showing(self, first: ShownVisit, later: ShownVisit, structure: str) -> Iterator[None]:
        """Each step makes Slicer draw anew."""
        if self._is_laid_out:
            self._outline([first, later], structure)
            yield
            composite_node(VIEWS[1]).SetBackgroundVolumeID(later.image.GetID())
            return
        for _step in range(SETTLING_STEPS):
            yield
        self._outline([first, later], structure)
        yield
        left, right = map(slice_node, VIEWS)
        for name in VIEWS:
            link(name, False)  # else what is set in one view is set in the other
        left.SetOrientation("Axial")
        right.SetOrientation("Axial")
        yield
        for name, visit in zip(VIEWS, (first, later), strict=True):
            composite = composite_node(name)
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
            composite.SetBackgroundVolumeID(visit.image.GetID())
            yield
        fit(VIEWS[0])
        yield
        if place := _place([first, later], structure):
            left.JumpSliceByOffsetting(*place)
            yield
        _as_the_other(right, left)
        yield
        for name in VIEWS:
            link(name, True)
        self._is_laid_out = True

    def _outline(self, visits: list[ShownVisit], structure: str) -> None:
        self._hide_outlines()
        for visit in visits:
            display = visit.outlines.GetDisplayNode()
            for key in visit.outlines.GetSegmentation().GetSegmentIDs():
                display.SetSegmentVisibility(key, key == structure)
            display.SetVisibility(True)
            self._shown.append(visit.outlines)

    def _hide_outlines(self) -> None:
        for node in self._shown:
            if slicer.mrmlScene.IsNodePresent(node):
                node.GetDisplayNode().SetVisibility(False)
        self._shown = []

    def hide(self) -> None:
        """Views, links and what was visible as they were before."""
        self._hide_outlines()
        self._is_laid_out = False
        before, self._before = self._before, None
        if before is not None:
            before.restore()

    def forget(self) -> None:
        """The scene goes with all that was shown: only the layout is given back."""
        before, self._before, self._shown = self._before, None, []
        self._is_laid_out = False
        if before is not None:
            _arrange(before.layout)


@dataclass(frozen=True)
class _Before:
    """The user's layout and views, and the nodes that were visible: segments and marks on one visit mean nothing on
    another."""

    layout: int
    views: dict[str, SliceView]
    visible: tuple[str, ...]

    @classmethod
    def now(cls) -> _Before:
        node = _layout()
        nodes = [
            one for kind in ("Segmentation", "Markups") for one in slicer.util.getNodesByClass(f"vtkMRML{kind}Node")
        ]
        seen = [one for one in nodes if one.GetDisplayNode() is not None and one.GetDisplayNode().GetVisibility()]
        for one in seen:
            one.GetDisplayNode().SetVisibility(False)
        return cls(
            node.GetViewArrangement() if node is not None else 0,
            {name: SliceView.now(name) for name in VIEWS},
            tuple(one.GetID() for one in seen),
        )

    def restore(self) -> None:
        _arrange(self.layout)
        for name in VIEWS:
            link(name, False)
        for name, view in self.views.items():
            view.restore(name)
        for name, view in self.views.items():
            composite = composite_node(name)
            composite.SetLinkedControl(view.is_linked[0])
            composite.SetHotLinkedControl(view.is_linked[1])
        replaced = _replaced()
        for node_id in self.visible:
            node = slicer.mrmlScene.GetNodeByID(node_id)
            if node is not None and node.GetDisplayNode() is not None and node_id not in replaced:
                node.GetDisplayNode().SetVisibility(True)


def _replaced() -> set[str]:
    """Ids of results in whose place another one has been shown meanwhile, with what was made for them."""
    seen = [node for node in results() if node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility()]
    others = [node for node in results() if seen and node not in seen]
    return {one.GetID() for node in others for one in (node, *belonging(node))}


def _layout() -> Any:
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _arrange(layout: int) -> None:
    """Without a main window there is no layout."""
    node = _layout()
    if node is not None and node.GetViewArrangement() != layout:
        node.SetViewArrangement(layout)


def _as_the_other(view: Any, other: Any) -> None:
    """The same place at the same size."""
    view.GetSliceToRAS().DeepCopy(other.GetSliceToRAS())
    per_pixel = other.GetFieldOfView()[0] / max(1, other.GetDimensions()[0])
    width, height, _depth = view.GetDimensions()
    view.SetFieldOfView(per_pixel * width, per_pixel * height, other.GetFieldOfView()[2])
    view.SetXYZOrigin(*other.GetXYZOrigin())
    view.UpdateMatrices()


def _place(visits: list[ShownVisit], structure: str) -> list[float] | None:
    """Where the structure is largest in the visit that has most of it."""
    found = [visit.places[structure] for visit in visits if structure in visit.places]
    return max(found)[1] if found else None
