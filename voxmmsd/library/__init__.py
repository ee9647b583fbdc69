"""The training library: cases, predictions of models, and corrections by experts. numpy, SciPy and nibabel only.

Reading order: ``records`` (what is known), ``reading`` (of all cases, by numpy alone), ``folder`` (the library),
``images`` (brain only), ``parts`` (hold-out), ``writing`` (one at a time), ``changes`` (what a correction changed),
``next_case`` (what to label next). A table of the cases needs the records alone; SciPy and nibabel come with
``folder``, once it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voxmmsd.library.next_case import Suggestion, next_to_label
from voxmmsd.library.reading import LibraryRecords, is_library
from voxmmsd.library.records import HOLD_OUT, PARTS, TRAINING, Change, LabelVersion, LibraryCase

if TYPE_CHECKING:
    from voxmmsd.library.folder import Library, create_library, open_library

__all__ = [
    "HOLD_OUT",
    "PARTS",
    "TRAINING",
    "Change",
    "LabelVersion",
    "Library",
    "LibraryCase",
    "LibraryRecords",
    "Suggestion",
    "create_library",
    "is_library",
    "next_to_label",
    "open_library",
]

_OF_FOLDER = ("Library", "create_library", "open_library")


def __getattr__(name: str) -> Any:
    if name not in _OF_FOLDER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from voxmmsd.library import folder

    return getattr(folder, name)
