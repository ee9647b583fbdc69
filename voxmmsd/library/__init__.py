"""The training library: cases, what models said of them, and how experts corrected it. numpy, SciPy and nibabel only.

Reading order: ``records`` (what is known), ``folder`` (the library), ``images`` (brain only), ``parts`` (hold-out),
``writing`` (one at a time), ``changes`` (what a correction changed), ``next_case`` (what to label next).
"""

from voxmmsd.library.folder import Library, create_library, is_library, open_library
from voxmmsd.library.next_case import Suggestion, next_to_label
from voxmmsd.library.records import HOLD_OUT, PARTS, TRAINING, Change, LabelVersion, LibraryCase

__all__ = [
    "HOLD_OUT",
    "PARTS",
    "TRAINING",
    "Change",
    "LabelVersion",
    "Library",
    "LibraryCase",
    "Suggestion",
    "create_library",
    "is_library",
    "next_to_label",
    "open_library",
]
