"""Vox-MMSD: brain tumor segmentation from multi-modal MRI with few labels.

Reading order, which follows the data:
``labels`` -> ``data.cases`` -> ``data.volume`` -> ``data.preprocess`` -> ``data.store`` -> ``networks.unet3d``
-> ``training.finetune`` -> ``models.package`` -> ``inference.predict`` -> ``evaluation.scores``.
``config`` and ``runs`` define options and run folders of long jobs; ``cli`` provides a verb for each step.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxmmsd.data.cases import find_cases
    from voxmmsd.segmenting import Segmentation, Segmenter, score, segment

# Builds of ONNX Runtime report their use to Microsoft, with a number for each machine, unless told before they load.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

_PUBLIC = {
    "segment": "voxmmsd.segmenting",
    "Segmenter": "voxmmsd.segmenting",
    "Segmentation": "voxmmsd.segmenting",
    "score": "voxmmsd.segmenting",
    "find_cases": "voxmmsd.data.cases",
}
__all__ = ["Segmentation", "Segmenter", "__version__", "find_cases", "score", "segment"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import voxmmsd`` alone loads nothing heavy."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
