"""What the command line knows of a verb, and what verbs ask of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voxmmsd.config import make_config
from voxmmsd.errors import ConfigError, InputError, VoxMMSDError, as_printed


@dataclass(frozen=True)
class Verb:
    """A verb: its configuration and the function that runs it (None or an exit code).

    ``run_folder`` is the run folder of a long verb; such verbs can be started with ``--detach``. ``placed_by``: the
    option that says where it is, for a resumed run. ``configure`` makes the configuration if that needs more than the
    options themselves: configurations never read the disk, a verb may.
    """

    name: str
    help: str
    config: type
    run: Callable[[Any], int | None]
    run_folder: Callable[[Any], Path] | None = None
    placed_by: str = ""
    configure: Callable[[dict[str, Any], Path | None], Any] | None = None

    def configured(self, given: dict[str, Any], file: Path | None = None) -> Any:
        """The configuration from given options and an options file. Raises ConfigError if an option is invalid."""
        return self.configure(given, file) if self.configure else make_config(self.config, given, file)


@dataclass(frozen=True)
class VerbGroup:
    """A verb with actions, ``voxmmsd NAME ACTION ...``, each with a configuration of its own; the first is default."""

    name: str
    help: str
    actions: tuple[Verb, ...]

    def action(self, name: str) -> Verb:
        """Raises ConfigError if there is no such action."""
        for verb in self.actions:
            if verb.name == name:
                return verb
        known = ", ".join(verb.name for verb in self.actions)
        raise ConfigError(f"action: {name!r} is not one of {known}", "choose one of them")


def placed_by(verb: Verb, option: str) -> Verb:
    """The verb with the run folder that an option names: ``run``, or the ``.run`` in where it writes."""

    def folder(config: Any) -> Path:
        from voxmmsd.runs import resolve_run

        value = getattr(config, option)
        return resolve_run(value) if option == "run" else require(value, f"--{option} DIR") / ".run"

    return replace(verb, run_folder=folder, placed_by=option)


def require(value: str, what: str) -> Path:
    """Raises ConfigError if the argument ``what`` is empty."""
    if not value:
        raise ConfigError(f"{what} must be given", "`voxmmsd VERB --help` says what it is")
    return Path(value)


def existing(value: str) -> Path:
    """Raises ConfigError if no folder is given, InputError if it is not there."""
    path = require(value, "FOLDER")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path")
    return path


def failure_line(case_id: str, error: VoxMMSDError) -> str:
    """What is printed of a case's error; it names the case once."""
    return as_printed(f"case {case_id}: {error.problem.removeprefix(f'case {case_id}: ')}", error.remedy)
