"""Torch comes through the extension PyTorch, which chooses the build for the computer's GPU."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from voxmmsd.errors import MissingDependencyError

TORCH = ">=2.4,!=2.9.*"


def pytorch_utils(what: str) -> Any:
    """The extension's module; ``what`` needs it.

    Raises:
        MissingDependencyError: the extension is not installed.
    """
    try:
        import PyTorchUtils
    except ImportError as error:
        raise MissingDependencyError(
            _("{what} needs torch, which the PyTorch extension installs").format(what=what),
            _("install that in the Extensions Manager, restart Slicer, and press the button again"),
        ) from error
    return PyTorchUtils


def install_torch(utils: Any) -> None:
    """Install it without another question.

    Raises:
        MissingDependencyError: it could not be installed.
    """
    logic = utils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH)
    except Exception as error:  # its own kinds, pip's and the network's
        raise MissingDependencyError(
            f"torch could not be installed ({error})", "see the module PyTorch Utils for details"
        ) from error
    if torch is None:
        raise MissingDependencyError("torch could not be installed", "see the module PyTorch Utils for details")
