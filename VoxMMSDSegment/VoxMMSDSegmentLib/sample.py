"""A synthetic patient for the Sample Data module: made on the spot, no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from VoxMMSDLib import dependencies
from VoxMMSDLib.background import while_slicer_lives

if TYPE_CHECKING:
    from voxmmsd.phantom import Phantom

CATEGORY = "VoxMMSD"
NAME = "VoxMMSDPhantom"
SHOWN = "t1c"
SIDE, SEED = 96, 14  # a patient of whose images the panel warns of nothing


def register(icon: Path) -> None:
    """Offer the phantom in the Sample Data module."""
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.12
        logic.registerCustomSampleDataCategory(CATEGORY, _("Vox-MMSD brain tumor"))
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris="",  # nothing is downloaded, but Slicer counts the addresses
        customDownloader=make,
        thumbnailFileName=str(icon),
    )


def make(_source=None) -> list:
    """Four volumes of a synthetic patient, in a study of their own.

    Raises:
        MissingDependencyError: packages are missing, and installing them was declined.
    """
    dependencies.ensure()
    from voxmmsd.labels import MODALITIES

    made = while_slicer_lives(_phantom)
    matrix = slicer.util.vtkMatrixFromArray(made.grid.affine_xyz)
    nodes = []
    for key, image in zip(MODALITIES, made.image_czyx, strict=True):
        nodes.append(slicer.util.addVolumeFromArray(image, matrix, f"Phantom {key}"))
        slicer.app.processEvents()  # each takes Slicer a moment
    nodes = [node for node in nodes if slicer.mrmlScene.IsNodePresent(node)]  # the user may have closed the scene
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), _("Synthetic patient")), _("Phantom"))
    for node in nodes:
        if item := tree.GetItemByDataNode(node):
            tree.SetItemParent(item, study)
    slicer.app.processEvents()
    shown = next((node for node in nodes if node.GetName() == f"Phantom {SHOWN}"), None)
    if shown is not None:
        slicer.util.setSliceViewerLayers(background=shown)
    return nodes


def _phantom() -> Phantom:
    """In a thread: what it imports takes long, too."""
    from voxmmsd.phantom import make_phantom

    return make_phantom(SEED, (SIDE, SIDE, SIDE))
