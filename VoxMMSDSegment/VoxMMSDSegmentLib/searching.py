"""*Find them*: the images of a study are looked for beside Slicer, and what was found is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from VoxMMSDLib.background import Background
from VoxMMSDLib.dependencies import ensure
from VoxMMSDSegmentLib.case import Found, search


class Searching:
    """``say`` gets what was found in words, ``on_failed`` the error of a search that failed."""

    def __init__(self, button, say: Callable[[str], None], on_failed: Callable[[Exception], None]) -> None:
        self._button, self._say, self._on_failed = button, say, on_failed
        self._parameters: Any = None
        self._work: Background | None = None

    @property
    def is_at_work(self) -> bool:
        return self._work is not None and self._work.is_at_work

    def start(self, parameters, beside: Any) -> None:
        """Search the study of the volume ``beside``; what is found is chosen in ``parameters``.

        Raises:
            MissingDependencyError: packages are missing, and installing them was declined.
        """
        ensure()
        self._parameters = parameters
        self._button.setEnabled(False)
        self._say(_("Searching the images ..."))
        self._work = Background(search(beside), self._take, self._failed).start()

    def forget(self) -> None:
        """The panel or the scene goes."""
        if self._work is not None and self._work.is_at_work:
            self._work.forget()
            self._button.setEnabled(True)

    def _take(self, found: Found) -> None:
        self._button.setEnabled(True)
        for key in MODALITIES:
            setattr(self._parameters, key, _still_there(found.volumes.get(key)))
        if self._parameters.brainMask is None and (mask := _still_there(found.brain_mask)) is not None:
            self._parameters.brainMask = mask
        self._say(in_words(found))

    def _failed(self, error: Exception) -> None:
        self._button.setEnabled(True)
        self._say("")
        self._on_failed(error)


def in_words(found: Found) -> str:
    """What the user is to check after a search; empty where all was told by names."""
    if not found.volumes:
        return _("No volume of this study looks like T1, T1 post-contrast, T2 or FLAIR: choose them by hand.")
    said = []
    if found.of_one_day:
        said.append(_("Each series has a study of its own: matched by patient and date."))
    if found.doubtful:
        names = ", ".join(MODALITY_NAMES[key] for key in dict.fromkeys(found.doubtful))
        said.append(_("There are several volumes for {names}: check the choice.").format(names=names))
    if found.by_content:
        names = ", ".join(MODALITY_NAMES[key] for key in found.by_content)
        said.append(_("Recognized by their content, not by a name: {names}. Check them.").format(names=names))
    return " ".join(said)


def _still_there(node: Any) -> Any:
    """None for a node that was deleted meanwhile."""
    return node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None
