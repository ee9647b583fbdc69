"""The selectors of the panel: empty where their node is deleted, and without the nodes that are made here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import slicer

from VoxMMSDLib.segments import has_schema
from VoxMMSDSegmentLib.case import OURS


def empty_when_deleted(selectors: Iterable[Any]) -> None:
    """Let selectors become empty when their node is deleted: Qt would choose the neighboring one."""
    for selector in selectors:
        selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", partial(_leave, selector))


def leave_out_derived(selectors: Iterable[Any]) -> None:
    """Offer no node that is made here as an input; to be called again when such nodes have come."""
    derived = [
        node.GetID()
        for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
        for node in slicer.util.getNodesByClass(kind)
        if node.GetAttribute(OURS) or node.GetHideFromEditors() or has_schema(node)
    ]
    for selector in selectors:
        if selector.currentNodeID in derived:
            selector.setCurrentNode(None)
        model = selector.sortFilterProxyModel()
        if tuple(model.hiddenNodeIDs or ()) != tuple(derived):
            model.hiddenNodeIDs = derived


def _leave(selector: Any, node: Any) -> None:
    if selector.currentNode() is node:
        selector.setCurrentNode(None)
