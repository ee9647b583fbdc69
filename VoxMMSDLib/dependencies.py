"""What the core needs beyond Slicer's own Python: looked for when first needed, installed after one question."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import MissingDependencyError

# To segment on a CPU; no torch. Import name -> requirement.
SEGMENTING = {
    "scipy": "scipy>=1.11",
    "nibabel": "nibabel>=5.2",
    "onnxruntime": "onnxruntime>=1.17",
    "safetensors": "safetensors>=0.4.3",
    "tqdm": "tqdm>=4.66",
    "psutil": "psutil>=5.9",
}


def missing(needed: dict[str, str] = SEGMENTING) -> list[str]:
    """Requirements of packages that cannot be imported; looks only, imports nothing."""
    return [requirement for name, requirement in needed.items() if find_spec(name) is None]


def ensure(needed: dict[str, str] = SEGMENTING) -> None:
    """Install what is missing, after asking.

    Raises:
        MissingDependencyError: the user said no, or the packages are still not there.
    """
    wanted = missing(needed)
    if not wanted:
        return
    question = _("These packages are needed and will be downloaded into Slicer: {names}. Install them now?")
    if not slicer.util.confirmYesNoDisplay(question.format(names=", ".join(wanted))):
        raise MissingDependencyError(f"not installed: {', '.join(wanted)}", "press the button again to install them")
    install(wanted)
    if still := missing(needed):
        raise MissingDependencyError(
            f"could not be installed: {', '.join(still)}", "see the Python console for pip's output"
        )


def install(wanted: Sequence[str]) -> None:
    """Install without another question, by what the running Slicer offers.

    Raises:
        MissingDependencyError: pip could not.
    """
    with pip_explained(wanted):
        try:
            from slicer.packaging import pip_ensure
        except ImportError:  # before Slicer 5.12
            slicer.util.pip_install(list(wanted))
            return
        from packaging.requirements import Requirement  # the first versions of pip_ensure understand nothing else

        requirements = [Requirement(one) for one in wanted]
        pip_ensure(requirements, prompt_install=False, requester="Vox-MMSD", skip_in_testing=False)


@contextmanager
def pip_explained(wanted: Sequence[str]) -> Iterator[None]:
    """What pip installed within is found at once; where it failed, the error says how to fix it.

    Raises:
        MissingDependencyError: pip failed.
    """
    try:
        yield
    except subprocess.CalledProcessError as error:
        raise MissingDependencyError(
            f"could not be installed: {', '.join(wanted)}",
            "see the Python console for pip's output. Without a network, use a bundle: `voxmmsd bundle`",
        ) from error
    importlib.invalidate_caches()
