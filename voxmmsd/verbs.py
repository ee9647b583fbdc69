"""What each verb of the command line does: check what must be given, call the core, print for people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxmmsd import config as c
from voxmmsd.errors import ConfigError, InputError


@dataclass(frozen=True)
class Verb:
    """A verb: its configuration and the function that runs it (None or an exit code)."""

    name: str
    help: str
    config: type
    run: Callable[[Any], int | None]


def cases(config: c.CasesConfig) -> None:
    from voxmmsd.data.cases import find_cases

    print(find_cases(_folder(config.folder), config.schema or None).report())


def phantom(config: c.PhantomConfig) -> None:
    from voxmmsd.phantom import write_phantoms

    written = write_phantoms(_given(config.folder, "FOLDER"), config.count, config.seed, config.shape, config.spacing)
    print(f"wrote {len(written)} synthetic patients to {config.folder}")


def prepare(config: c.PrepareConfig) -> int:
    from voxmmsd.data.prepare import prepare_folder

    _folder(config.folder)
    _given(config.store, "--store DIR")
    result = prepare_folder(config)
    for case_id, reason in result.failures:
        print(f"voxmmsd: error: case {case_id}: {reason}", file=sys.stderr)
    kept = len(result.entries) - result.made
    print(f"{config.store}: {len(result.entries)} cases ready ({result.made} made, {kept} kept)")
    return 2 if result.failures else 0


def finetune(config: c.FinetuneConfig) -> None:
    if not config.folders:
        raise ConfigError("finetune: name at least one folder of labelled cases")
    for folder in config.folders:
        _folder(folder)
    _given(config.run, "--run DIR")
    from voxmmsd.training.finetune import finetune as run

    print(run(config))


def pretrain(config: c.PretrainConfig) -> None:
    if not config.folders:
        raise ConfigError("pretrain: name at least one folder of cases")
    for folder in config.folders:
        _folder(folder)
    _given(config.run, "--run DIR")
    from voxmmsd.training.pretrain import pretrain as run

    print(run(config))


def segment(config: c.SegmentConfig) -> int:
    from voxmmsd.inference.segment import segment_cases

    _given(config.out, "--out DIR")
    result = segment_cases(config)
    for file in result.written:
        print(file)
    for case_id, reason in result.failures:
        print(f"voxmmsd: error: case {case_id}: {reason}", file=sys.stderr)
    return 2 if result.failures else 0


def evaluate(config: c.EvaluateConfig) -> None:
    from voxmmsd.evaluation.evaluate import evaluate_verb

    print(evaluate_verb(config))


def models(config: c.ModelsConfig) -> None:
    from voxmmsd.models import registry

    if config.action == "list":
        print(registry.report())
        return
    _given(config.model, "MODEL")
    package = registry.resolve_model(config.model)
    take = {"import": lambda: registry.import_model(package.folder), "accept": lambda: registry.accept(package)}
    package = take[config.action]()
    print(f"{config.action}ed {package.info.id}: {package.folder}")


def compare(config: c.CompareConfig) -> None:
    _given(config.experiment, "EXPERIMENT.toml")
    _given(config.run, "--run DIR")
    from voxmmsd.training.compare import compare as run

    print(run(config))


def doctor(config: c.DoctorConfig) -> int:
    from voxmmsd.doctor import examine

    text, healthy = examine(config.device)
    print(text)
    return 0 if healthy else 1


VERBS = (
    Verb("cases", "say which cases a folder holds and what is missing", c.CasesConfig, cases),
    Verb("phantom", "write synthetic patients with known tumors", c.PhantomConfig, phantom),
    Verb("prepare", "bring cases into the prepared store", c.PrepareConfig, prepare),
    Verb("pretrain", "teach a network unlabelled scans", c.PretrainConfig, pretrain),
    Verb("finetune", "teach a network the labels of few cases", c.FinetuneConfig, finetune),
    Verb("segment", "segment a case, or a folder of cases", c.SegmentConfig, segment),
    Verb("evaluate", "score segmentations against expert labels", c.EvaluateConfig, evaluate),
    Verb("compare", "measure what pre-training gains with few labels", c.CompareConfig, compare),
    Verb("models", "list, import or accept models", c.ModelsConfig, models),
    Verb("doctor", "say what this machine has and whether it computes rightly", c.DoctorConfig, doctor),
)


def _given(value: str, what: str) -> Path:
    if not value:
        raise ConfigError(f"{what} must be given")
    return Path(value)


def _folder(value: str) -> Path:
    path = _given(value, "FOLDER")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return path
