"""Where the model is unsure: an overlay that leaves the user's views as they were, and a list that jumps there."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import LabelSchema
from VoxMMSDSegmentLib.case import OURS

# No tissue is magenta, for whatever eyes; the window leaves out the dark half of the table.
UNSURE_COLOR = (1.0, 0.0, 1.0)
UNSURE_COLORS, UNSURE_WINDOW = "vtkMRMLColorTableNodeMagenta", (-2.0, 0.35)
PLACES_ROLE, UNCERTAINTY_ROLE = "VoxMMSD.Places", "VoxMMSD.Uncertainty"  # node references of a result


def make_places_node(result, review: list[dict], schema: LabelSchema):
    """A locked list of the doubtful places of a result's record; None where there is none."""
    if not review:
        return None
    # All points before the node is in the scene: there each one would be drawn and listed anew.
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetName(_("{name} places to check").format(name=result.GetName()))
    node.SetAttribute(OURS, "places")
    for number, place in enumerate(review, start=1):
        index = node.AddControlPointWorld(place["position_ras_mm"], f"{number}: {_in_words(place, schema)}")
        node.SetNthControlPointLocked(index, True)
    node.SetLocked(True)
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPointLabelsVisibility(False)
    display.SetSelectedColor(*UNSURE_COLOR)
    display.SetVisibility3D(False)
    display.SetVisibility(False)  # until the module is open
    result.SetNodeReferenceID(PLACES_ROLE, node.GetID())
    return node


def _in_words(place: dict, schema: LabelSchema) -> str:
    names = {label.key: label.name for label in schema.labels} | {"background": _("healthy")}
    one, other = (names.get(key, key) for key in place["labels"])
    effect = max(place["effect_ml"].values())
    return _("{one} or {other} ({effect:.2f} ml)").format(one=one, other=other, effect=effect)


def jump_to(node, index: int) -> None:
    """Show a place in all slice views."""
    slicer.modules.markups.logic().JumpSlicesToNthPointInMarkup(node.GetID(), index, True)


def load_uncertainty(result, file, name: str):
    """The entropy map as a volume of a result."""
    node = slicer.util.loadVolume(str(file), {"name": name, "show": False})
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
