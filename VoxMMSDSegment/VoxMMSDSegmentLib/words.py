"""The core's sentences in the panel's words."""

from __future__ import annotations

from slicer.i18n import tr as _

from VoxMMSDLib import words
from VoxMMSDSegmentLib.case import CASE_ID


def in_panel_words(text: str) -> str:
    """With the names that the panel has for the modalities and its buttons in place of options of the command line,
    and without the id that a case has for the core only."""
    text = words.with_names(text).replace(f"case {CASE_ID}: ", "")
    for of_a_shell, of_the_panel in (
        (
            "--force writes it anyway",
            _("Correct the images or their slots and segment again, or press Show it anyway"),
        ),
        ("look at the picture, and at the images (`voxmmsd check`)", _("look at the images")),
        ("say so with --patient CODE, if they are", _("enter the patient's code, if they are")),
        ("segment with --from-scanner, which aligns and strips", _("check From the scanner")),
        (
            "nothing is overwritten, name another --out",
            _("nothing is overwritten: give the case a code of its own, or choose another folder"),
        ),
        ("allow at least --memory", _("set Memory to at least")),
        ("allow more with --memory", _("set Memory to more")),
        ("--memory", _("Memory")),
    ):
        text = text.replace(of_a_shell, of_the_panel)
    return text


def error_in_words(error: BaseException) -> tuple[str, str]:
    """Problem and remedy of whatever went wrong."""
    problem, remedy = words.in_words(error)
    return in_panel_words(problem), in_panel_words(remedy)
