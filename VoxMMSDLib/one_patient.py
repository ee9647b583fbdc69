"""One patient at a time in the views: a result of the segmentation module, or the library case that is open.

Both modules draw on the same views. Segmentations of two patients lie in one space, so that the tumor of one would be
seen on the brain of the other.
"""

from __future__ import annotations

import slicer

MARK = "VoxMMSD."  # how the attributes of nodes begin that the modules made
CASE = "VoxMMSD.LibraryCase"  # attribute of the labels of a library case
OPENED = "VoxMMSD.OpenedCase"  # attribute of each node that came with a library case: they go together
ITSELF = "VoxMMSD.Itself"  # role of the reference by which a node that came with a case is told from a copy of it
HIDDEN = "VoxMMSD.HiddenMeanwhile"  # attribute of a node that is hidden here, and is shown again
SHOWN_FIRST = ("t1c", "t2f", "t2w", "t1n")  # the modality that shows a tumor best comes first
_DRAWN = ("vtkMRMLSegmentationNode", "vtkMRMLMarkupsLineNode")


def is_of_case(node) -> bool:
    """Whether a node came with a library case; labels of an older version have but one of the attributes."""
    return bool(node.GetAttribute(OPENED) or node.GetAttribute(CASE))


def mark_original(node) -> None:
    """Let a node refer to itself. Copies have the attributes of what was copied, and may refer to that one, but not to
    themselves; a scene that is loaded changes ids, and such references with them."""
    node.SetNodeReferenceID(ITSELF, node.GetID())


def is_original(node) -> bool:
    """Whether a node came with a library case itself, and is no copy."""
    if node.GetAttribute(OPENED):
        return node.GetNodeReference(ITSELF) is node
    image = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    return bool(node.GetAttribute(CASE)) and image is not None  # labels of an older version: their copies have none


def make_users_own(node) -> None:
    """A copy of what came with a case stays when that goes: nothing tells any more that it was made here."""
    for name in node.GetAttributeNames():
        if name.startswith(MARK):
            node.RemoveAttribute(name)
    node.RemoveNodeReferenceIDs(ITSELF)


def show_case_only() -> None:
    """Hide what the modules made of other images while a library case is open."""
    _show_only(of_case=True)


def show_results_only(always: bool = False) -> None:
    """Show again what was hidden for a library case, and hide the case's labels, if there is anything to show again.

    ``always``: hide the labels in any case; the views show other images.
    """
    if always or any(node.GetAttribute(HIDDEN) and not is_of_case(node) for node in _made_here()):
        _show_only(of_case=False)


def _show_only(of_case: bool) -> None:
    for node in _made_here():
        display = node.GetDisplayNode()
        if display is None:
            continue
        if is_of_case(node) == of_case:
            if node.GetAttribute(HIDDEN):
                node.RemoveAttribute(HIDDEN)
                display.SetVisibility(True)
        elif display.GetVisibility():
            node.SetAttribute(HIDDEN, "yes")
            display.SetVisibility(False)


def _made_here() -> list:
    nodes = [node for kind in _DRAWN for node in slicer.util.getNodesByClass(kind)]
    return [node for node in nodes if any(name.startswith(MARK) for name in node.GetAttributeNames())]
