"""A few edits of a segmentation, carried through the volume by the network's own voxel features; no torch.

Reading order: ``onnx_outputs`` (the feature pyramid out of a package's ONNX file), ``features`` (of one case),
``kept`` (those in a file), ``evidence`` (what the edits say), ``fitting`` (what they teach), ``carry`` (which voxels
follow), ``record`` (the result that was edited, and what is behind it), ``verb`` (the command line's ``refine``, whose
options are in ``config``). numpy and SciPy come with these files, once one is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxmmsd.refine.carry import Refined, refine
    from voxmmsd.refine.evidence import Evidence, find_evidence
    from voxmmsd.refine.features import CaseFeatures, case_features, compute_features

__all__ = ["CaseFeatures", "Evidence", "Refined", "case_features", "compute_features", "find_evidence", "refine"]

_IN = {
    "Refined": "carry",
    "refine": "carry",
    "Evidence": "evidence",
    "find_evidence": "evidence",
    "CaseFeatures": "features",
    "case_features": "features",
    "compute_features": "features",
}


def __getattr__(name: str) -> Any:
    if name not in _IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_IN[name]}"), name)
