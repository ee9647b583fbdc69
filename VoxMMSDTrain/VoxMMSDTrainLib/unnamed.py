"""Two segmentations of a new case, an expert who is not told which model made which, and the choice."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from voxmmsd.labels import schema_named
from VoxMMSDLib.child import Child
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDTrainLib.comparison import Comparison, library_of
from VoxMMSDTrainLib.library_case import open_case, segmentation_of


class UnnamedPairs:
    """The part of the tab Result that is shown where few hold-out patients count."""

    def __init__(self, ui, say: Callable[[str], None]) -> None:
        self._ui, self._say = ui, say
        self._comparison: Comparison | None = None
        self._child: Child | None = None
        self._number = ""
        ui.pairButton.connect("clicked()", self._make)
        for answer in ("first", "second", "equal"):
            getattr(ui, f"{answer}Button").connect("clicked()", lambda answer=answer: self._choose(answer))

    def show(self, comparison: Comparison | None) -> None:
        """Offer it for a comparison whose verdict rests on few patients."""
        self._comparison, self._number = comparison, ""
        self._ui.unnamedBox.visible = comparison is not None and bool(comparison.old) and comparison.few
        self._enable()

    def cleanup(self) -> None:
        if self._child is not None:
            self._child.close()

    def open_pair(self) -> None:
        """Load the pair that waits for an answer, as first and second.

        Raises:
            LibraryError: there is none, or its case is gone.
        """
        from voxmmsd.errors import LibraryError
        from voxmmsd.library import open_library
        from voxmmsd.library.blinded import pairs

        library = open_library(library_of(self._comparison))
        waiting = [pair for pair in pairs(library) if not pair.choice]
        if not waiting:
            raise LibraryError(f"{library.folder}: no pair waits for an answer; press Show a pair")
        pair = waiting[-1]
        open_case(library, library.case(pair.case_id))
        for name, file in ((_("first"), pair.first), (_("second"), pair.second)):
            labelmap = slicer.util.loadLabelVolume(str(file), {"name": name, "show": False})
            values = slicer.util.arrayFromVolume(labelmap)
            segmentation_of(labelmap, values, schema_named(pair.schema), f"{pair.case_id} {name}")
            remove_whole(labelmap)
        self._number = pair.number
        self._say(_("{case} is in the scene, segmented twice: which one is better?").format(case=pair.case_id))
        self._enable()

    def _make(self) -> None:
        found = self._comparison
        arguments = ["library", "blind", str(library_of(found)), "--old", found.old, "--new", str(found.folder)]
        self._child = Child(arguments, found.folder, lambda _events: None, self._made)
        try:
            self._child.start()
            self._say(_("Both models segment a case ..."))
        except VoxMMSDError as error:
            self._child = None
            self._say(str(error))
        self._enable()

    def _made(self, code: int) -> None:
        child, self._child = self._child, None
        try:
            if code:
                self._say(child.error or child.log)
            else:
                self.open_pair()
        except VoxMMSDError as error:
            self._say(str(error))
        self._enable()

    def _choose(self, answer: str) -> None:
        from voxmmsd.library import open_library
        from voxmmsd.library.blinded import choose, tally

        try:
            library = open_library(library_of(self._comparison))
            pair = choose(library, self._number, answer)
            old, new = sorted(pair.models, key=lambda model: model != self._comparison.old)
        except VoxMMSDError as error:
            self._say(str(error))
            return
        self._number = ""
        chosen = pair.chosen or _("neither")
        said = _("Written down. It was {model}. {tally}")
        self._say(said.format(model=chosen, tally=tally(library, old, new).text))
        self._enable()

    def _enable(self) -> None:
        self._ui.pairButton.enabled = self._child is None
        for button in (self._ui.firstButton, self._ui.secondButton, self._ui.equalButton):
            button.enabled = bool(self._number)
