"""Two segmentations of a new case, an expert who is not told which model made which, and the choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError
from VoxMMSDLib import dependencies
from VoxMMSDLib.background import Steps, Work
from VoxMMSDLib.child import Child
from VoxMMSDLib.pages import Page
from VoxMMSDTrainLib import words
from VoxMMSDTrainLib.both_models import open_pair
from VoxMMSDTrainLib.compared import Compared, Shown
from VoxMMSDTrainLib.comparison import RunResult, library_of
from VoxMMSDTrainLib.presence import Presence

if TYPE_CHECKING:
    from voxmmsd.corrections.blinded import Tally


class UnnamedPairs:
    """The part of the tab Result that is shown where few hold-out patients count."""

    def __init__(self, ui: Page, compared: Compared, work: Work, presence: Presence) -> None:
        self._ui, self._compared, self._work, self._presence = ui, compared, work, presence
        self._comparison: RunResult | None = None
        self._child: Child | None = None
        self._number = ""
        self._pair: tuple[Shown, ...] = ()
        self._say("")
        ui.pairButton.connect("clicked()", self._make)
        for answer in ("first", "second", "equal"):
            getattr(ui, f"{answer}Button").connect("clicked()", lambda answer=answer: self._answer(answer))
        work.follow(self._enable)

    def show(self, comparison: RunResult | None) -> None:
        """Offer it for a comparison whose verdict rests on few patients."""
        if _run_of(self._comparison) != _run_of(comparison):
            self._number = ""
            self._say("")
        self._comparison = comparison
        self._ui.unnamedBox.setVisible(comparison is not None and bool(comparison.old) and comparison.few)
        self._enable()

    @property
    def _shown(self) -> RunResult:
        """For what is done with a comparison: the box is visible where there is one."""
        assert self._comparison is not None
        return self._comparison

    def cleanup(self) -> None:
        if self._child is not None:
            self._child.close()

    def open_pair(self) -> None:
        """Load the pair that waits for an answer, as first and second."""
        self._work.start(self._opening(), self._say_error)

    def _opening(self) -> Steps:
        self._say(_("Opening the pair ..."))
        self._compared.clear()
        number, case_id, shown = yield from open_pair(library_of(self._shown), self._presence.is_here)
        if not shown:
            self._say(_("The previous case stays open; the pair is kept."))
            return
        self._presence.opened()
        self._compared.show(shown)
        self._number, self._pair = number, shown
        self._say(_("{case} is open, segmented twice: which one is better?").format(case=case_id))

    def _make(self) -> None:
        found = self._shown
        arguments = ["library", "blind", str(library_of(found)), "--old", found.old, "--new", str(found.folder)]
        try:
            dependencies.ensure()
            self._child = Child(arguments, found.folder, lambda _events: None, self._made)
            self._child.start()
            self._say(_("Both models segment a case ..."))
        except VoxMMSDError as error:
            self._child = None
            self._say_error(error)
        self._enable()

    def _made(self, code: int) -> None:
        child, self._child = self._child, None
        if code and child is not None:
            self._say(words.plain(child.why(code)))
        else:
            self.open_pair()
        self._enable()

    def _answer(self, answer: str) -> None:
        self._work.start(self._choosing(answer), self._say_error)

    def _choosing(self, answer: str) -> Steps:
        folder, number, compared_with = library_of(self._shown), self._number, self._shown.old

        def write_down() -> tuple[str, Tally]:
            from voxmmsd.corrections.blinded import choose, tally
            from voxmmsd.library import open_library

            library = open_library(folder)
            pair = choose(library, number, answer)
            old, new = sorted(pair.models, key=lambda model: model != compared_with)
            return pair.chosen, tally(library, old, new)

        chosen, so_far = yield write_down
        self._number = ""
        said = _("Recorded. It was {model}.").format(model=chosen) if chosen else _("Recorded: both are equally good.")
        if so_far.old + so_far.new:
            said += _(" So far {tally}.").format(tally=so_far.text)
        self._say(said)

    def _enable(self) -> None:
        is_free = self._child is None and not self._work.is_running
        if is_free and self._number and not self._compared.shows(self._pair):
            self._number = ""  # its segmentations are gone, or others are looked at
            self._say("")
        self._ui.pairButton.setEnabled(is_free)
        for button in (self._ui.firstButton, self._ui.secondButton, self._ui.equalButton):
            button.setEnabled(is_free and bool(self._number))

    def _say_error(self, error: Exception) -> None:
        self._say(words.plain(error))

    def _say(self, text: str) -> None:
        self._ui.unnamedNotice.setText(text)
        self._ui.unnamedNotice.setVisible(bool(text))


def _run_of(comparison: RunResult | None) -> Path | None:
    return comparison.folder if comparison is not None else None
