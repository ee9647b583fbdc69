"""What a slice view shows and where, to be given back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import slicer
import vtk


@dataclass(frozen=True)
class SliceView:
    """``volumes``: ids of background, foreground and label; ``is_linked``: both kinds of links to the other views."""

    volumes: tuple[str | None, str | None, str | None]
    is_linked: tuple[int, int]
    slice_to_ras: Any
    mm_per_pixel: float
    origin: tuple[float, ...]

    @classmethod
    def now(cls, name: str) -> SliceView:
        view, composite = slice_node(name), composite_node(name)
        matrix = vtk.vtkMatrix4x4()
        matrix.DeepCopy(view.GetSliceToRAS())
        return cls(
            (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID()),
            (composite.GetLinkedControl(), composite.GetHotLinkedControl()),
            matrix,
            view.GetFieldOfView()[0] / max(1, view.GetDimensions()[0]),
            view.GetXYZOrigin(),
        )

    def restore(self, name: str) -> None:
        """Volumes that are no longer in the scene are left out; links stay as they are."""
        view, composite = slice_node(name), composite_node(name)
        for put, volume_id in zip(
            (composite.SetBackgroundVolumeID, composite.SetForegroundVolumeID, composite.SetLabelVolumeID),
            self.volumes,
            strict=True,
        ):
            put(volume_id if volume_id and slicer.mrmlScene.GetNodeByID(volume_id) is not None else None)
        view.GetSliceToRAS().DeepCopy(self.slice_to_ras)
        width, height, _depth = view.GetDimensions()
        view.SetFieldOfView(self.mm_per_pixel * width, self.mm_per_pixel * height, view.GetFieldOfView()[2])
        view.SetXYZOrigin(*self.origin)
        view.UpdateMatrices()


def names() -> list[str]:
    """Of all slice views, shown or not; none without a main window."""
    return [node.GetLayoutName() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")]


def slice_node(name: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")


def composite_node(name: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")


def background_of(name: str) -> Any:
    """The volume that a view shows; None where it shows none."""
    shown = composite_node(name).GetBackgroundVolumeID()
    return slicer.mrmlScene.GetNodeByID(shown) if shown else None


def link(name: str, linked: bool) -> None:
    composite = composite_node(name)
    composite.SetLinkedControl(linked)
    composite.SetHotLinkedControl(linked)


@contextmanager
def unlinked(views: list[str]) -> Iterator[None]:
    """Else what is set in one view is set in the others."""
    linked = {name: SliceView.now(name).is_linked for name in views}
    for name in views:
        link(name, False)
    try:
        yield
    finally:
        for name, (control, hot) in linked.items():
            composite_node(name).SetLinkedControl(control)
            composite_node(name).SetHotLinkedControl(hot)


@contextmanager
def with_labels() -> Iterator[None]:
    """The label layers of all views come back afterwards; the segment editor empties them."""
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    layers = [composite.GetLabelVolumeID() for composite in composites]
    try:
        yield
    finally:
        for composite, volume_id in zip(composites, layers, strict=True):
            composite.SetLabelVolumeID(volume_id)


def fit(name: str) -> None:
    """Show the whole background."""
    manager = slicer.app.layoutManager()
    for logic in manager.mrmlSliceLogics() if manager is not None else ():
        if logic.GetSliceNode() is slice_node(name):
            logic.FitSliceToBackground()
