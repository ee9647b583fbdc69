"""Where the model is unsure: an overlay that leaves the user's views as they were, and a list that jumps there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import LabelSchema
from VoxMMSDLib.background import Steps, at_once
from VoxMMSDLib.volumes import read_steps
from VoxMMSDSegmentLib.case import OURS

# No tissue is magenta, for whatever eyes; the window leaves out the dark half of the table.
UNSURE_COLOR = (1.0, 0.0, 1.0)
UNSURE_COLORS, UNSURE_WINDOW = "vtkMRMLColorTableNodeMagenta", (-2.0, 0.35)
BACKGROUND = "background"
PLACES_ROLE, UNCERTAINTY_ROLE = "VoxMMSD.Places", "VoxMMSD.Uncertainty"  # node references of a result
LISTED = "VoxMMSD.PlacesListed"  # attribute of a result: the fingerprint of the places that were listed last

MAX_CHANGED = 10  # places that a carry is said to have changed
MIN_CHANGED_ML = 0.05


def list_places(
    result,
    review: list[dict],
    changed: Sequence[Mapping[str, Any]],
    schema: LabelSchema,
    before_change: Callable[[], None] = lambda: None,
) -> bool:
    """Let the list of places hold what a carry has changed, and then what the model doubts; whether it is another now.

    A result without places has no list. Places that the user deletes stay away until others are to be listed.
    """
    listed = _fingerprint([*changed, *review])
    if result.GetAttribute(LISTED) == listed:
        return False
    result.SetAttribute(LISTED, listed)
    node = result.GetNodeReference(PLACES_ROLE)
    texts = [_change_in_words(place, schema) for place in changed] + [_in_words(place, schema) for place in review]
    texts = [f"{number}: {text}" for number, text in enumerate(texts, start=1)]
    known = [node.GetNthControlPointLabel(i) for i in range(node.GetNumberOfControlPoints())] if node else []
    if known == texts:  # of a scene that does not say what was listed
        return False
    before_change()
    if node is None:
        at_once(_node_steps(result, [*changed, *review], texts))
        return True
    with slicer.util.NodeModify(node):
        node.RemoveAllControlPoints()
        _fill(node, [*changed, *review], texts)
    return True


def _fingerprint(places: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest()


def changed_places(before, after, affine_xyz, voxel_ml: float, schema: LabelSchema) -> list[dict]:
    """Regions in which label values ``(z, y, x)`` changed alike, largest first, each by its innermost voxel.

    May be called in a thread.
    """
    import numpy as np
    from scipy import ndimage

    names = {0: BACKGROUND, **{label.value: label.key for label in schema.labels}}
    where = np.argwhere(before != after)
    if not len(where):
        return []
    first = where.min(axis=0)
    box = tuple(slice(low, high + 1) for low, high in zip(first, where.max(axis=0), strict=True))
    old, new = before[box], after[box]
    found = []
    for one, other in np.unique(np.stack([old[old != new], new[old != new]]), axis=1).T:
        numbered, _count = ndimage.label((old == one) & (new == other), np.ones((3, 3, 3)))
        for number, place in enumerate(ndimage.find_objects(numbered), start=1):
            region = numbered[place] == number
            size_ml = float(region.sum()) * voxel_ml
            if size_ml >= MIN_CHANGED_ML:
                start = [side.start for side in place] + first
                found.append((size_ml, [names[int(one)], names[int(other)]], start, region))
    found.sort(key=lambda change: -change[0])
    return [
        {"position_ras_mm": _innermost(region, start, affine_xyz), "labels": labels, "ml": size_ml}
        for size_ml, labels, start, region in found[:MAX_CHANGED]
    ]


def _innermost(region, start_zyx, affine_xyz) -> list[float]:
    """The voxel of a region that is farthest from its outside, in world coordinates."""
    import numpy as np
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1, 1:-1]
    place = np.add(start_zyx, np.unravel_index(int(depth.argmax()), region.shape))
    return [float(value) for value in (affine_xyz @ [*place[::-1], 1.0])[:3]]


def make_places_node(result, review: Sequence[Mapping[str, Any]], schema: LabelSchema) -> Steps:
    """A locked list of the doubtful places of a result's record; none where there are no such places."""
    texts = [f"{number}: {_in_words(place, schema)}" for number, place in enumerate(review, start=1)]
    result.SetAttribute(LISTED, _fingerprint(review))
    if review:
        yield from _node_steps(result, review, texts)


def _node_steps(result, places: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> Steps:
    # All points before the node is in the scene: there each one would be redrawn and listed again.
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetName(_("{name} places to check").format(name=result.GetName()))
    node.SetAttribute(OURS, "places")
    _fill(node, places, texts)
    node.SetLocked(True)
    node = slicer.mrmlScene.AddNode(node)
    result.SetNodeReferenceID(PLACES_ROLE, node.GetID())
    yield
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPointLabelsVisibility(False)
    display.SetSelectedColor(*UNSURE_COLOR)
    display.SetVisibility3D(False)
    display.SetVisibility(False)  # until the module is open


def _fill(node, places: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> None:
    for place, text in zip(places, texts, strict=True):
        index = node.AddControlPointWorld(place["position_ras_mm"], text)
        node.SetNthControlPointLocked(index, True)


def _named(place: Mapping[str, Any], schema: LabelSchema) -> list[str]:
    names = {label.key: label.name for label in schema.labels} | {BACKGROUND: _("not tumor")}
    return [names.get(key, key) for key in place["labels"]]


def _change_in_words(place: Mapping[str, Any], schema: LabelSchema) -> str:
    old, new = _named(place, schema)
    return _("changed: {new}, was {old} ({ml:.2f} ml)").format(new=new, old=old, ml=place["ml"])


def _in_words(place: Mapping[str, Any], schema: LabelSchema) -> str:
    one, other = _named(place, schema)
    effect = max(place["effect_ml"].values())
    return _("{one} or {other} ({effect:.2f} ml)").format(one=one, other=other, effect=effect)


def jump_to(node, index: int) -> None:
    """Show a place in all slice views."""
    slicer.modules.markups.logic().JumpSlicesToNthPointInMarkup(node.GetID(), index, True)


def load_uncertainty(result, file, name: str) -> Steps:
    """The entropy map as a volume of a result."""
    node = yield from read_steps(file, name)
    node.SetAttribute(OURS, "uncertainty")
    result.SetNodeReferenceID(UNCERTAINTY_ROLE, node.GetID())
    return node


class Overlay:
    """The uncertainty as foreground of all slice views; switching it off gives the user's own foreground back."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[str | None, float]] = {}
        self._volume_id = ""

    @property
    def is_on(self) -> bool:
        return bool(self._before)

    def show(self, volume, threshold: float) -> None:
        """Show where ``volume`` is above ``threshold``; calling it again moves the threshold."""
        _color(volume, threshold)
        self._volume_id = volume.GetID()
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetID() not in self._before:
                self._before[composite.GetID()] = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
                composite.SetForegroundVolumeID(volume.GetID())
                composite.SetForegroundOpacity(0.6)

    def hide(self) -> None:
        for composite_id, (volume_id, opacity) in self._before.items():
            composite = slicer.mrmlScene.GetNodeByID(composite_id)
            # What the user put there in between is the user's.
            if composite is not None and composite.GetForegroundVolumeID() in (self._volume_id, None):
                composite.SetForegroundVolumeID(volume_id)
                composite.SetForegroundOpacity(opacity)
        self._before.clear()


def _color(volume, threshold: float) -> None:
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(UNSURE_COLORS)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*UNSURE_WINDOW)
    display.ApplyThresholdOn()
    display.SetThreshold(threshold, 1.0)
