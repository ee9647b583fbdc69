"""A few edits of a segmentation, carried through the volume by the network's own voxel features; no torch.

Reading order: ``onnx_outputs`` (the feature pyramid out of a package's ONNX file), ``features`` (of one case),
``kept`` (those in a file), ``evidence`` (what the edits say), ``fitting`` (what they teach), ``carry`` (which voxels
follow), ``record`` (the result that was edited, and what is behind it), ``verb`` (the command line's ``refine``).
"""

from voxmmsd.refine.carry import Refined, refine
from voxmmsd.refine.evidence import Evidence, find_evidence
from voxmmsd.refine.features import CaseFeatures, case_features, compute_features

__all__ = ["CaseFeatures", "Evidence", "Refined", "case_features", "compute_features", "find_evidence", "refine"]
