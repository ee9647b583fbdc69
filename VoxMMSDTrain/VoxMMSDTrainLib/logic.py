"""What the module does, without its panel: long runs are started, continued and asked to stop through their folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from voxmmsd.config import make_config
from voxmmsd.home import home
from voxmmsd.runs import Request, RunState, view_run
from voxmmsd.runs.control import ask, stop
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from VoxMMSDTrainLib.launch import Launch

CONFIGS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}
OnEnd = Callable[[Path, str], None]


class VoxMMSDTrainLogic(ScriptedLoadableModuleLogic):
    """For scripts and for the panel alike. Nothing here waits: ``on_end`` gets the run and an error, if any."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._launches: list[Launch] = []

    @property
    def default_runs_folder(self) -> Path:
        return home() / "runs"

    def start(self, verb: str, options: Mapping[str, Any], folder: Path, on_end: OnEnd | None = None) -> None:
        """Start ``pretrain`` or ``finetune`` as a process that lives on when Slicer goes.

        ``options``: fields of the verb's configuration. ``on_end`` hears when the run has given its first sign of life.

        Raises:
            ConfigError: an unknown option, or a value of the wrong type.
        """
        given = {**options, "run": str(folder)}
        make_config(CONFIGS[verb], given)
        self._launch(Launch.of_verb(verb, given, folder), on_end)

    def resume(self, folder: Path, on_end: OnEnd | None = None) -> None:
        """Continue a run from its newest checkpoint, as a process that lives on when Slicer goes."""
        self._launch(Launch(["runs", "resume", str(folder)], folder), on_end)

    def pause(self, folder: Path) -> None:
        """Raises RunError: there is nothing to pause."""
        ask(folder, Request.PAUSE)

    def cancel(self, folder: Path) -> None:
        """Raises RunError: there is nothing to cancel."""
        if view_run(folder).state in (RunState.PAUSED, RunState.INTERRUPTED):
            stop(folder, Request.CANCEL)  # no process needs to agree
        else:
            ask(folder, Request.CANCEL)

    @property
    def is_launching(self) -> bool:
        return bool(self._launches)

    def cleanup(self) -> None:
        """Forget what is on its way; the runs themselves go on."""
        for launch in self._launches:
            launch.forget()
        self._launches.clear()

    def _launch(self, launch: Launch, on_end: OnEnd | None) -> None:
        def ended(error: str) -> None:
            self._launches.remove(launch)
            if on_end is not None:
                on_end(launch.folder, error)

        launch.start(ended)
        self._launches.append(launch)


def free_folder(parent: Path, name: str) -> Path:
    """A folder for a new run that is not there yet: ``NAME``, ``NAME-2`` ..."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    number, folder = 1, parent / stem
    while folder.exists():
        number += 1
        folder = parent / f"{stem}-{number}"
    return folder
