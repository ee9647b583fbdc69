"""The core's sentences in the panel's words."""

from __future__ import annotations

from VoxMMSDLib import words
from VoxMMSDSegmentLib.case import CASE_ID


def in_panel_words(text: str) -> str:
    """With the names that the panel has for the modalities, and without the id that a case has for the core only."""
    return words.with_names(text).replace(f"case {CASE_ID}: ", "")


def error_in_words(error: BaseException) -> tuple[str, str]:
    """Problem and remedy of whatever went wrong."""
    problem, remedy = words.in_words(error)
    return in_panel_words(problem), in_panel_words(remedy)
