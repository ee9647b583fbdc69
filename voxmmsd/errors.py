"""Errors for the user: what is wrong, where, and how to fix it."""

from __future__ import annotations

import os

ERROR, REMEDY = "voxmmsd: error: ", "voxmmsd: remedy: "
"""How the lines begin in which a command says why it failed."""
EXIT_WITHHELD = 3
"""Exit code of a command whose results are implausible."""
REMEDY_APART = "VOXMMSD_REMEDY_APART"
"""Environment variable: the remedy comes on a line of its own, for programs, which need take no sentence apart."""


class VoxMMSDError(Exception):
    """Base of all errors caused by the input or the call (exit code 2).

    ``problem``: what is wrong, and where. ``remedy``: what to do about it. Both are one line, without a full stop.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # what it is pickled as, on its way out of a process pool
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


class InputError(VoxMMSDError):
    """A file or folder that cannot be used."""


class ConfigError(VoxMMSDError):
    """An invalid option or configuration file."""


class ModelError(VoxMMSDError):
    """A model package that is missing, damaged, or not suitable."""


class LibraryError(VoxMMSDError):
    """A training library that cannot be used as requested."""


class RunError(VoxMMSDError):
    """A run folder that cannot be used as requested."""


class MissingDependencyError(VoxMMSDError):
    """An optional package that this step needs is not installed."""


class MemoryBudgetError(VoxMMSDError):
    """Memory, or the given memory limit, is too small."""


class ResultWithheldError(VoxMMSDError):
    """An implausible result: its labels are not handed over (exit code ``EXIT_WITHHELD``)."""


class BundleError(VoxMMSDError):
    """An offline bundle that cannot be created or installed."""


class Canceled(Exception):
    """The user asked to stop (exit code 130); not an error."""


def problem_and_remedy(error: BaseException) -> tuple[str, str]:
    """Both fields of an error; one that is a fault of ours knows no remedy."""
    return (error.problem, error.remedy) if isinstance(error, VoxMMSDError) else (str(error), "")


def as_printed(problem: str, remedy: str) -> str:
    """What a command prints of an error: one line, or two where ``REMEDY_APART`` is set."""
    problem, remedy = " ".join(problem.split()), " ".join(remedy.split())
    joint = f"\n{REMEDY}" if REMEDY_APART in os.environ else "; "
    return ERROR + (f"{problem}{joint}{remedy}" if remedy else problem)
