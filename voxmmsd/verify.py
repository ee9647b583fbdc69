"""Verify files on disk: a training library, a model package, or a run with its checkpoints."""

from __future__ import annotations

from pathlib import Path

from voxmmsd.errors import RunError, VoxMMSDError
from voxmmsd.library import is_library, open_library
from voxmmsd.library.verification import unfinished_labels, verify_library
from voxmmsd.models.package import clear_verification_cache
from voxmmsd.models.registry import damaged_models, list_models, registry_folder, resolve_model
from voxmmsd.runs import find_run, read_config, read_status
from voxmmsd.runs.status import STATUS
from voxmmsd.wording import counted


def verify(spec: str) -> tuple[str, bool]:
    """A report of what was verified and what is wrong, and whether all is intact.

    ``spec``: folder of a library, run, or model as for ``segment --model``; empty: all models of the registry.

    Raises:
        ModelError: it is none of these.
    """
    clear_verification_cache()
    if not spec:
        return _report(
            f"{registry_folder()} and the bundled models", _wrong_models(), counted(len(list_models()), "model")
        )
    if is_library(Path(spec).expanduser()):
        library = open_library(Path(spec))
        left = len(unfinished_labels(library))
        note = f", {counted(left, 'unfinished label')} that count for nothing" if left else ""
        return _report(spec, verify_library(library), f"a library of {counted(len(library.cases()), 'case')}{note}")
    run = find_run(spec)
    if (run / STATUS).is_file():
        return _report(str(run), *_wrong_in_run(run))
    package = resolve_model(spec)
    return _report(spec, [], f"the model {package.info.id}")


def _report(what: str, problems: list[str], kind: str) -> tuple[str, bool]:
    if not problems:
        return f"{what}: {kind}, intact", True
    return "\n".join(
        [f"{what}: {kind}, {counted(len(problems), 'problem')}", *(f"  {line}" for line in problems)]
    ), False


def _wrong_models() -> list[str]:
    return [str(damaged.error) for damaged in damaged_models()]


def _wrong_in_run(run: Path) -> tuple[list[str], str]:
    problems = [] if read_status(run) else [f"{run / 'status.json'}: cannot be read"]
    problems += [] if read_config(run) else [f"{run / 'config.json'}: cannot be read"]
    checkpoints = sorted((run / "checkpoints").glob("[!.]*.pt"))
    if checkpoints:
        from voxmmsd.training.checkpoint import load_state

        for file in checkpoints:
            try:
                load_state(file)
            except RunError as error:
                problems.append(str(error))
    if (run / "model").is_dir():
        try:
            resolve_model(str(run))
        except VoxMMSDError as error:
            problems.append(str(error))
    return problems, f"a run with {counted(len(checkpoints), 'checkpoint')}"
