"""Errors and the core's sentences, as a panel says them."""

from __future__ import annotations

import logging
import re

from slicer.i18n import tr as _

from voxmmsd.errors import VoxMMSDError, problem_and_remedy
from voxmmsd.labels import MODALITIES, MODALITY_NAMES

# A modality's key as a word of its own, not as a part of a file's name.
_KEY = re.compile(rf"(?<![\w./\\-])({'|'.join(MODALITIES)})(?![\w/\\-]|\.\w)")


def with_names(text: str) -> str:
    """With the names that the panels have for the modalities."""
    return _KEY.sub(lambda match: MODALITY_NAMES[match[0]], text)


def in_words(error: BaseException) -> tuple[str, str]:
    """Problem and remedy. A fault of ours, which nobody foresaw, goes to Slicer's error log with its traceback."""
    if isinstance(error, VoxMMSDError):
        problem, remedy = problem_and_remedy(error)
        return with_names(problem), with_names(remedy)
    logging.error("Vox-MMSD: %s", error, exc_info=error)
    fault = f"{type(error).__name__}: {error}".removesuffix(": ")
    return (
        _("An unexpected error occurred in Vox-MMSD ({fault})").format(fault=fault),
        _("View > Error Log has the details; please report it"),
    )
