"""Nodes that leave the scene, as in Slicer's application: a node takes its display and storage nodes along.

Its item in the data tree goes, too (qSlicerSubjectHierarchyPluginLogic.cxx), unless the whole scene is closed.
"""

from __future__ import annotations

from typing import Any

import vtk


def follow(scene: Any) -> None:
    """Remove with each node of the data tree what belongs to it alone; refuse to remove a node twice.

    In Slicer the second removal goes on: it writes "Invalid scene given" and more to the error log.
    """
    leaving: dict[Any, list[Any]] = {}

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def about_to_go(_caller: Any, _event: str, node: Any) -> None:
        if node is None or scene.IsClosing():
            return
        if own := _own_nodes(scene, node):
            leaving[node] = own
        tree = scene.GetSubjectHierarchyNode()
        if tree is not None and node is not tree and (item := tree.GetItemByDataNode(node)):
            tree.RemoveItem(item, False, False)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def gone(_caller: Any, _event: str, node: Any) -> None:
        for own in leaving.pop(node, ()):
            if scene.IsNodePresent(own):
                scene.RemoveNode(own)

    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, about_to_go)
    scene.AddObserver(scene.NodeRemovedEvent, gone)
    remove = type(scene).RemoveNode

    def remove_once(node: Any) -> None:
        if node is not None and not scene.IsNodePresent(node):
            raise RuntimeError(f"{node.GetClassName()} {node.GetName()}: is not in the scene, and is to be removed")
        remove(scene, node)

    scene.RemoveNode = remove_once


def _own_nodes(scene: Any, node: Any) -> list[Any]:
    found = []
    for kind in ("DisplayNode", "StorageNode"):
        count = getattr(node, f"GetNumberOf{kind}s", lambda: 0)()
        found += [getattr(node, f"GetNth{kind}")(number) for number in range(count)]
    return [own for own in found if own is not None and scene.IsNodePresent(own)]
