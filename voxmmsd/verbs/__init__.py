"""The verbs of the command line, one file each: its configuration and the function that runs it.

These files import nothing heavy at their top: each verb imports what it needs when it runs. To add a verb, write a file
of its name with a ``VERB`` and name it in ``NAMES``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from voxmmsd.errors import ConfigError
from voxmmsd.verbs.verb import Verb, VerbGroup

__all__ = ["NAMES", "VERBS", "Verb", "VerbGroup", "find", "find_verb"]

NAMES = (
    "cases",
    "phantom",
    "prepare",
    "pretrain",
    "finetune",
    "check",
    "segment",
    "refine",
    "report",
    "follow",
    "export-dicom",
    "evaluate",
    "estimate",
    "job",
    "compare",
    "runs",
    "models",
    "library",
    "verify",
    "export",
    "bundle",
    "install-bundle",
    "doctor",
)
VERBS: tuple[Verb | VerbGroup, ...]


def __getattr__(name: str) -> Any:
    """``VERBS``, loaded when asked for: for all of them it takes ten times as long as for the one that is called."""
    if name == "VERBS":
        return tuple(_load(each) for each in NAMES)
    raise AttributeError(name)


def find(name: str) -> Verb | VerbGroup | None:
    """The verb of that name, whose file alone is loaded; None if there is none."""
    return _load(name) if name in NAMES else None


def find_verb(name: str) -> Verb:
    """A verb without actions. Raises ConfigError if there is none of that name."""
    if isinstance(verb := find(name), Verb):
        return verb
    raise ConfigError(f"{name!r} is no verb of this version", "`voxmmsd --help` lists them")


def _load(name: str) -> Verb | VerbGroup:
    file, what = ("bundle", "INSTALL") if name == "install-bundle" else (name.replace("-", "_"), "VERB")
    verb: Verb | VerbGroup = getattr(import_module(f"voxmmsd.verbs.{file}"), what)
    return verb
