"""What training needs beyond segmenting: torch through the PyTorch extension, MONAI without touching torch."""

from __future__ import annotations

from importlib.util import find_spec

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import MissingDependencyError
from VoxMMSDLib import dependencies
from VoxMMSDLib.torch_package import install_torch, pytorch_utils

MONAI = "monai>=1.4"
TRAINING = {**dependencies.SEGMENTING, "matplotlib": "matplotlib>=3.8", "onnx": "onnx>=1.16"}


def ensure_training() -> None:
    """Install what is missing, after asking once.

    Raises:
        MissingDependencyError: the user said no, the PyTorch extension is not there, or the packages still are not.
    """
    needs_torch, needs_monai = find_spec("torch") is None, find_spec("monai") is None
    wanted = [*(["torch"] if needs_torch else []), *(["MONAI"] if needs_monai else []), *dependencies.missing(TRAINING)]
    if not wanted:
        return
    utils = pytorch_utils(_("Training")) if needs_torch else None  # before the question: without it a yes is of no use
    question = _("Training needs these packages, which will be downloaded into Slicer: {names}. Install them now?")
    if not slicer.util.confirmYesNoDisplay(question.format(names=", ".join(wanted))):
        raise MissingDependencyError(f"not installed: {', '.join(wanted)}", "press the button again to install them")
    if utils is not None:
        install_torch(utils)
    if needs_monai:
        with dependencies.pip_explained([MONAI]):
            slicer.util.pip_install(f"--no-deps {MONAI}")  # of what it asks for all is there; torch stays as it is
    if others := dependencies.missing(TRAINING):
        dependencies.install(others)
    if still := [name for name in ("torch", "monai", *TRAINING) if find_spec(name) is None]:
        raise MissingDependencyError(
            f"could not be installed: {', '.join(still)}", "see the Python console for pip's output"
        )
