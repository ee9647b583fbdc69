"""A case of the training library in the scene, one at a time, and its corrected labels on their way back.

The generators are works of ``background.Work``; their errors are those of the core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import schema_named
from VoxMMSDLib.background import Steps
from VoxMMSDLib.one_patient import (
    CASE,
    HIDDEN,
    OPENED,
    SHOWN_FIRST,
    is_of_case,
    is_original,
    make_users_own,
    mark_original,
    show_case_only,
)
from VoxMMSDLib.patient_views import PATIENT_VIEWS
from VoxMMSDLib.segments import schema_of
from VoxMMSDLib.volumes import ijk_to_world, read_steps, remove_whole
from VoxMMSDTrainLib.labels import Labels, left_out, pieces_of, segmentation_of, snapshot

if TYPE_CHECKING:
    import numpy as np

    from voxmmsd.library import LibraryCase, LibraryRecords

LIBRARY = "VoxMMSD.Library"  # attribute of the labels: the library's id, never its path
OVER = "VoxMMSD.DrawnOver"  # attribute of the labels: ids of the models whose output they were drawn on, as JSON
KEPT = "VoxMMSD.LabelsInLibrary"  # attribute of the labels: the fingerprint of what the library holds
MODALITY = "VoxMMSD.Modality"  # attribute of its volumes
DEFAULT_SCHEMA = "brats-gli-2023"  # of a library without a single label


@dataclass(frozen=True)
class CaseOnDisk:
    """A case and its newest labels, read by a thread."""

    library_id: str
    case: LibraryCase
    labels: Labels
    fingerprint: str

    @property
    def id(self) -> str:
        return self.case.id


def read_case(folder: Path, case_id: str) -> CaseOnDisk:
    """The case with its newest labels. Touches no node.

    Raises:
        LibraryError: no such case, or a file that does not fit its checksum.
    """
    from voxmmsd.library import open_library

    library = open_library(folder)
    case = library.case(case_id)
    newest = case.newest
    if newest is None:
        return CaseOnDisk(library.id, case, Labels(schema_named(schema_in_use(library)), None, {}), fingerprint(None))
    label = library.read_label(case, newest)
    labels = pieces_of(label.array, schema_named(newest.schema), label.grid)
    return CaseOnDisk(library.id, case, labels, fingerprint(label.array))


def fingerprint(indices_zyx: np.ndarray | None) -> str:
    """SHA-256 of the labeled voxels and their classes; ``None``: no voxel is labeled. Touches no node."""
    from hashlib import sha256

    import numpy as np

    if indices_zyx is None:
        return sha256().hexdigest()
    labeled = np.flatnonzero(indices_zyx)
    return sha256(labeled.astype("<i8").tobytes() + indices_zyx.ravel()[labeled].astype(np.uint8).tobytes()).hexdigest()


def always() -> bool:
    return True


def open_case(folder: Path, case_id: str, is_seen: Callable[[], bool] = always) -> Steps:
    """Load a case's images and its newest labels in place of the case before; the segmentation node.

    A case that is open stays as it is, and comes no second time into the scene; images are brought back only where the
    one that its labels need was deleted. None where the user keeps corrections of the case before. Where ``is_seen``
    says no, the views are left alone and the labels hidden until the module is entered again: another one shows its
    own patient.

    Raises: as ``read_case``.
    """
    from voxmmsd.library import LibraryRecords

    if (node := opened_labels(case_id, LibraryRecords(folder))) is not None:
        if reference_of(node) not in opened_volumes().values():
            yield from _bring_back_images(node, folder, is_seen)
        yield from show(opened_volumes(), is_seen)
        return node
    found = yield lambda: read_case(folder, case_id)
    if not (yield from close_case()):
        return None
    volumes = yield from load_images(found.case, is_seen)
    attributes = {LIBRARY: found.library_id, CASE: case_id, OPENED: case_id, KEPT: found.fingerprint}
    newest = found.case.newest
    attributes[OVER] = json.dumps([] if newest is None else [newest.model] if newest.model else newest.drawn_over)
    is_shown = is_seen()
    if not is_shown:
        attributes[HIDDEN] = "yes"
    node = segmentation_of(
        found.labels, f"{case_id} labels", _fitting(volumes, found.labels), attributes, is_shown=is_shown
    )
    mark_original(node)
    yield
    yield from show(volumes, is_seen)
    return node


def _bring_back_images(node, folder: Path, is_seen: Callable[[], bool]) -> Steps:
    """Load what was deleted of the images of a case that is open: without the one whose grid they have, its labels
    could not be accepted."""
    case_id = node.GetAttribute(CASE)
    found = yield lambda: read_case(folder, case_id)
    volumes = yield from load_images(found.case, is_seen, opened_volumes())
    node.SetReferenceImageGeometryParameterFromVolumeNode(_fitting(volumes, found.labels))
    yield


def load_images(
    case: LibraryCase, is_seen: Callable[[], bool] = always, loaded: Mapping[str, Any] = MappingProxyType({})
) -> Steps:
    """Load the images of a case but those that are ``loaded``, each in a step; the volume nodes by modality.

    What was made of other images is hidden first.
    """
    if is_seen():
        show_case_only()
    yield
    volumes = dict(loaded)
    for name in case.modalities:
        if name in loaded:
            continue
        volumes[name] = yield from read_steps(case.image_file(name), f"{case.id} {name}")
        volumes[name].SetAttribute(OPENED, case.id)
        volumes[name].SetAttribute(MODALITY, name)
        mark_original(volumes[name])
        yield
    return volumes


def show(volumes: Mapping[str, Any], is_seen: Callable[[], bool] = always) -> Steps:
    """Put the image that shows a tumor best into the slice views and fit them to it, one view in a step.

    Whether all of them show it.
    """
    if not is_seen():
        return False
    show_case_only()
    PATIENT_VIEWS.keep()
    shown, views, logics = shown_first(volumes).GetID(), slicer.app.layoutManager(), {}
    if views is not None:  # there is a main window
        found = views.mrmlSliceLogics()
        for logic in (found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())):
            logics[logic.GetSliceCompositeNode().GetID()] = logic
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(shown)
        if composite.GetID() in logics:
            logics[composite.GetID()].FitSliceToBackground()
        yield
        if not is_seen():  # those that are done are given back by the module that was entered
            return False
    return True


def shown_first(volumes: Mapping[str, Any]):
    return next(volumes[name] for name in SHOWN_FIRST if name in volumes)


def close_case() -> Steps:
    """Take the case that is open out of the scene; False where the user keeps corrections that are not accepted.

    Copies of its nodes, as the module Data makes them, are the user's: they stay.
    """
    node = next(iter(_labels_in_scene()), None)
    question = (yield from _question_before_closing(node)) if node is not None else ""
    if question and not slicer.util.confirmYesNoDisplay(question):
        return False
    originals = opened_nodes()
    for one in _nodes_of_case():
        if one not in originals:
            make_users_own(one)
    for one in originals:
        remove_whole(one)
        yield
    return True


def _question_before_closing(node) -> Steps:
    """What is to be asked before labels that the library does not hold are lost; empty where none are."""
    if (yield from _has_unaccepted_changes(node)):
        question = _("The labels of {case} were changed and not accepted. Close the case and lose the changes?")
        return question.format(case=node.GetAttribute(CASE))
    if added := left_out(node, reference_of(node)):
        question = _("{case}: {names} was added and is not in the library. Close the case and lose it?")
        return question.format(case=node.GetAttribute(CASE), names=", ".join(added))
    return ""


def _has_unaccepted_changes(node) -> Steps:
    """Whether labels are other than those that the library held when they were opened or accepted.

    So, too, where that cannot be told. The library itself may be another one by now, or out of reach.
    """
    reference = reference_of(node)
    if reference is None:
        return True
    now, kept = (yield from snapshot(node, reference)), node.GetAttribute(KEPT)
    return (yield lambda: fingerprint(now.indices()) != kept)


def is_as_newest(library, case: LibraryCase, indices: np.ndarray, grid: Any) -> bool:
    """Whether class indices are those of the case's newest label; where there is none, whether all are background."""
    if case.newest is None:
        return not indices.any()
    label = library.read_label(case, case.newest)
    return label.grid.same_as(grid) and bool((label.array == indices).all())


@dataclass(frozen=True)
class Correction:
    """Labels of the opened case as they are now: class indices ``(z, y, x)`` on a grid, and what is odd about them.

    ``drawn_over``: the models of the labels that were opened; None for a case that an earlier version opened.
    """

    case_id: str
    schema: str
    indices: np.ndarray
    grid: Any
    is_empty: bool
    is_untouched: bool
    fingerprint: str
    left_out: tuple[str, ...] = ()  # names of segments that are no tissue of the schema
    drawn_over: tuple[str, ...] | None = None


def read_correction(folder: Path, node) -> Steps:
    """The labels of an opened case as they are now; hidden segments count as well.

    Raises:
        InputError: the node is not a case of this library, or its image was deleted.
        LibraryError: the library cannot be read.
    """
    reference = reference_of(node)
    if reference is None:
        raise InputError(f"{node.GetName()}: its image is no longer in the scene", "open the case again")
    now = yield from snapshot(node, reference)
    grid, library_id, case_id = core_grid(reference), node.GetAttribute(LIBRARY), node.GetAttribute(CASE)
    name, schema, added = node.GetName(), schema_of(node).name, tuple(left_out(node, reference))
    over = tuple(json.loads(text)) if (text := node.GetAttribute(OVER)) else None

    def compared() -> Correction:
        from voxmmsd.library import open_library

        library = open_library(folder)
        if library.id != library_id:
            raise InputError(f"{name}: was not opened from this library", "open the case here first")
        indices = now.indices()
        untouched = is_as_newest(library, library.case(case_id), indices, grid)
        found = fingerprint(indices)
        return Correction(case_id, schema, indices, grid, not indices.any(), untouched, found, added, over)

    return (yield compared)


def accept(folder: Path, correction: Correction):
    """Append the labels to the library; the new version. Touches no node.

    Raises:
        LibraryError: the library cannot be written.
    """
    from voxmmsd.data.volume import Volume
    from voxmmsd.library import open_library

    label = Volume(correction.indices, correction.grid)
    library = open_library(folder)
    return library.accept(correction.case_id, label, correction.schema, drawn_over=correction.drawn_over)


def opened_nodes() -> list:
    """All nodes that came with the case that is open, without copies of them."""
    return [node for node in _nodes_of_case() if is_original(node)]


def opened_labels(case_id: str, library: LibraryRecords | None = None):
    """The segmentation node of a case that is open; None where it is not, or was opened from another library."""
    for node in _labels_in_scene():
        if node.GetAttribute(CASE) == case_id and (library is None or node.GetAttribute(LIBRARY) == library.id):
            return node
    return None


def opened_case() -> str:
    """The id of the case whose labels are open; empty where none is."""
    return next((node.GetAttribute(CASE) for node in _labels_in_scene()), "")


def opened_volumes() -> dict[str, Any]:
    """Modality to volume node of the case that is open."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return {node.GetAttribute(MODALITY): node for node in nodes if node.GetAttribute(OPENED) and is_original(node)}


def reference_of(node):
    """The volume whose geometry a segmentation has; None where it was deleted."""
    return node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def core_grid(volume):
    from voxmmsd.data.grid import Grid

    x, y, z = volume.GetImageData().GetDimensions()
    return Grid((z, y, x), ijk_to_world(volume))


def schema_in_use(library: LibraryRecords) -> str:
    """The schema of the library's newest labels."""
    labels = [case.newest for case in library.cases() if case.newest]
    return max(labels, key=lambda label: label.time).schema if labels else DEFAULT_SCHEMA


def _labels_in_scene() -> list:
    """The newest first: a scene of an older version may hold more than one. Copies of them are none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in reversed(list(nodes)) if node.GetAttribute(CASE) and is_original(node)]


def _nodes_of_case() -> list:
    kinds = ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode")
    return [node for kind in kinds for node in slicer.util.getNodesByClass(kind) if is_of_case(node)]


def _fitting(volumes: Mapping[str, Any], labels: Labels):
    """The volume whose grid the labels have, the one that is shown before the others: the Segment Editor shows it."""
    names = [name for name in SHOWN_FIRST if name in volumes]
    if labels.grid is not None:
        names = [name for name in names if labels.grid.same_as(core_grid(volumes[name]))] or names
    return volumes[names[0]]
