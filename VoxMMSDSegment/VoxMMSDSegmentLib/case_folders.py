"""The folders of results whose edits were carried: the network's features stay there while the case is open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from voxmmsd.labels import MODALITIES
from VoxMMSDLib.segments import MODEL
from VoxMMSDLib.workplace import new_workplace, remove
from VoxMMSDSegmentLib.result import step_of
from VoxMMSDSegmentLib.rounds import FINGERPRINTS, WEIGHTS

FEATURES = "features.npz"


@dataclass
class CaseFolder:
    """A result's folder, as long as the case is open. ``inputs``: modality -> hash of the image that was written."""

    made_of: tuple[str, ...]
    folder: Path = field(default_factory=new_workplace)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def features(self) -> Path:
        return self.folder / FEATURES

    @property
    def has_features(self) -> bool:
        return bool(self.inputs) and self.features.is_file()


class CaseFolders:
    """The folders of the cases that are open."""

    def __init__(self) -> None:
        self._folders: dict[str, CaseFolder] = {}

    def of(self, result: Any) -> CaseFolder:
        """A result's own; an empty one where it has another model or other images than when that was made."""
        made_of = tuple(result.GetAttribute(name) or "" for name in (MODEL, WEIGHTS, FINGERPRINTS))
        # The fingerprints are of the images as given: the same ones may have been aligned, or corrected, since.
        made_of += tuple(step.GetID() for key in MODALITIES if (step := step_of(result, key)) is not None)
        found = self._folders.get(result.GetID())
        if found is None or found.made_of != made_of or not found.folder.is_dir():
            self._remove(result.GetID())
            if not self._folders:
                slicer.app.connect("aboutToQuit()", self.clear)
            self._folders[result.GetID()] = found = CaseFolder(made_of)
        return found

    def sweep(self) -> None:
        """Remove those of results that are no longer in the scene."""
        for node_id in [one for one in self._folders if slicer.mrmlScene.GetNodeByID(one) is None]:
            self._remove(node_id)

    def clear(self) -> None:
        """The scene, the panel or Slicer goes."""
        for node_id in list(self._folders):
            self._remove(node_id)

    def _remove(self, node_id: str) -> None:
        if (gone := self._folders.pop(node_id, None)) is not None:
            remove(gone.folder)
            if not self._folders:
                slicer.app.disconnect("aboutToQuit()", self.clear)
