"""The verbs of the command line: check required options, call the core, print the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxmmsd import config as c
from voxmmsd.errors import ConfigError, InputError, VoxMMSDError, as_printed
from voxmmsd.wording import counted

if TYPE_CHECKING:
    from voxmmsd.library import Library


@dataclass(frozen=True)
class Verb:
    """A verb: its configuration and the function that runs it (None or an exit code).

    ``folder`` is the run folder of a long verb; such verbs can be started with ``--detach``. ``configure`` makes the
    configuration if that needs more than the options themselves.
    """

    name: str
    help: str
    config: type
    run: Callable[[Any], int | None]
    folder: Callable[[Any], Path] | None = None
    configure: Callable[[dict[str, Any], Path | None], Any] | None = None

    def configured(self, given: dict[str, Any], file: Path | None = None) -> Any:
        """The configuration from given options and an options file. Raises ConfigError if an option is invalid."""
        return self.configure(given, file) if self.configure else c.make_config(self.config, given, file)


def cases(config: c.CasesConfig) -> None:
    from voxmmsd.data.cases import find_cases

    print(find_cases(_folder(config.folder), config.schema or None).report())


def phantom(config: c.PhantomConfig) -> None:
    from voxmmsd.phantom import write_phantoms

    written = write_phantoms(_given(config.folder, "FOLDER"), config.count, config.seed, config.shape, config.spacing)
    kept = config.count - len(written)
    print(
        f"wrote {counted(len(written), 'synthetic patient')} to {config.folder}"
        + (f"; {kept} were there" if kept else "")
    )


def prepare(config: c.PrepareConfig) -> int:
    from voxmmsd.data.prepare import prepare_folder

    _folder(config.folder)
    _given(config.store, "--store DIR")
    result = prepare_folder(config)
    for case_id, error in result.failures:
        print(_of_case(case_id, error), file=sys.stderr)
    kept = len(result.entries) - result.made
    print(f"{config.store}: {counted(len(result.entries), 'case')} ready ({result.made} made, {kept} kept)")
    return 2 if result.failures else 0


def _finetune_config(given: dict[str, Any], file: Path | None) -> c.FinetuneConfig:
    from voxmmsd.training.options import finetune_config

    return finetune_config(given, file)


def finetune(config: c.FinetuneConfig) -> None:
    _check_training(config, "folder of labelled cases")
    from voxmmsd.training.corrections import library_of
    from voxmmsd.training.finetune import finetune as run
    from voxmmsd.training.retuning import retune

    library = library_of(config)
    print(retune(config, library) if library else run(config))


def pretrain(config: c.PretrainConfig) -> None:
    _check_training(config, "folder of cases")
    from voxmmsd.training.pretrain import pretrain as run

    print(run(config))


def _check_training(config: c.FinetuneConfig | c.PretrainConfig, what: str) -> None:
    if not config.folders:
        raise ConfigError("no folder to learn from is given", f"name at least one {what}")
    for folder in config.folders:
        _folder(folder)
    _given(config.run, "--run DIR")


def check(config: c.CheckConfig) -> int:
    from voxmmsd.data.brain_mask import WORDS
    from voxmmsd.inference.segment import cases_to_segment
    from voxmmsd.labels import schema_named
    from voxmmsd.models.package import refuse_pretrained
    from voxmmsd.models.registry import resolve_model
    from voxmmsd.preflight.check import check_case
    from voxmmsd.preflight.findings import blocking

    package = resolve_model(config.model) if config.model else None
    if package is not None:
        refuse_pretrained(package)
    schema = schema_named(package.info.schema) if package is not None else None
    refused = False
    for case in cases_to_segment(config):
        word = config.brain_mask if config.brain_mask in WORDS else ""
        findings = check_case(case, operated=config.operated, schema=schema, brain_mask=word)
        refused = refused or bool(blocking(findings))
        print(f"{case.id}: {'nothing found' if not findings else ''}".rstrip())
        for finding in findings:
            print(f"  {finding.line()}")
    return 2 if refused else 0


def segment(config: c.SegmentConfig) -> int:
    from voxmmsd.inference.segment import segment_cases

    _given(config.out, "--out DIR")
    result = segment_cases(config)
    for file in result.written:
        print(file)
    for case_id, error in result.failures:
        print(_of_case(case_id, error), file=sys.stderr)
    return 2 if result.failures else 0


def refine(config: c.RefineConfig) -> None:
    from voxmmsd.refine.verb import refine_result

    _given(config.result, "RESULT")
    _given(" ".join(config.edited), "--edited LABELS")
    _given(config.out, "--out DIR")
    print(refine_result(config))


def evaluate(config: c.EvaluateConfig) -> int:
    if config.subsets:
        from voxmmsd.inference.subsets import evaluate_subsets

        print(evaluate_subsets(config))
        return 0
    from voxmmsd.evaluation.evaluate import evaluate_verb

    found = evaluate_verb(config)
    print(found.text())
    for case_id, error in found.failures:
        print(_of_case(case_id, error), file=sys.stderr)
    return 2 if found.failures else 0


def models(config: c.ModelsConfig) -> None:
    from voxmmsd.models import registry
    from voxmmsd.models.archive import export_model

    if config.action == "list":
        print(registry.report())
    elif config.action == "rollback":
        before, after = registry.rollback()
        print(f"rolled back {before}; in use now: {after or 'none'}")
    elif config.action == "quantize":
        from voxmmsd.inference.quantize import quantize_verb

        print(quantize_verb(config))
    elif config.action == "delete":
        freed = registry.delete(str(_given(config.model, "MODEL")))
        print(f"deleted {config.model}: {freed / 2**20:.1f} MiB are free now")
    else:
        _given(config.model, "MODEL")
        package = registry.resolve_model(config.model)
        if config.action == "export":
            print(export_model(package, _given(config.out, "--out FILE.zip")))
        elif config.action == "import":
            print(f"imported {package.info.id}: {registry.import_model(package.folder).folder}")
        elif config.action == "accept":
            print(f"accepted {package.info.id}: {registry.accept(package, config.force).folder}")
        else:
            print(f"rejected {registry.reject(package).info.id}")


def library(config: c.LibraryConfig) -> int:
    from voxmmsd.labels import MODALITIES
    from voxmmsd.library import create_library, is_library, next_to_label, open_library
    from voxmmsd.library.adding import accept_prediction, add_folder, add_one
    from voxmmsd.library.report import cases_report, suggestions_report
    from voxmmsd.models.registry import list_models
    from voxmmsd.runs import list_runs
    from voxmmsd.training.learned import learned_in

    place = _given(config.library, "LIBRARY")
    images = {name: Path(file) for name in MODALITIES if (file := getattr(config, name))}
    if config.action == "add" and not is_library(place):
        if not images:
            _folder(config.folder)
        create_library(place, config.hold_out)
    opened = open_library(place)
    if config.action == "add" and images:
        print("\n".join(add_one(opened, images, config)))
    elif config.action == "add":
        added = add_folder(opened, _folder(config.folder), schema=config.schema, part=config.part, prefix=config.prefix)
        print("\n".join(added.lines or ["nothing new"]))
        for case_id, error in added.failures:
            print(_of_case(case_id, error), file=sys.stderr)
        return 2 if added.failures else 0
    elif config.action == "list":
        runs = [run.folder for run in list_runs()]
        print(cases_report(opened, learned_in(opened, list_models(), runs)))
    elif config.action == "next":
        print(suggestions_report(next_to_label(opened.cases()), config.count))
    elif config.action == "accept":
        case_id = str(_given(config.case, "--case ID"))
        over = () if config.from_scratch else None
        if config.label:
            origins = Path(config.origins) if config.origins else None
            version = opened.accept_file(case_id, Path(config.label), config.schema, drawn_over=over, origins=origins)
        else:
            version = accept_prediction(opened, case_id)
        print(f"{case_id}: accepted {version.stem}, {version.changed_voxel_count} voxels changed")
    else:
        _compare_unnamed(opened, config)
    return 0


def _compare_unnamed(library: Library, config: c.LibraryConfig) -> None:
    from voxmmsd.library.blinded import choose, tally
    from voxmmsd.library.side_by_side import side_by_side
    from voxmmsd.models.registry import resolve_model

    if config.action == "choose":
        pair = choose(library, str(_given(config.pair, "--pair NUMBER")), str(_given(config.better, "--better ANSWER")))
        print(f"pair {pair.number}: {pair.chosen or 'neither'} is better")
        return
    old, new = (resolve_model(str(_given(getattr(config, name), f"--{name} MODEL"))) for name in ("old", "new"))
    pair = side_by_side(library, old, new, config.case)
    print(f"pair {pair.number}, case {pair.case_id}: look at {pair.first} and {pair.second}, then")
    print(f"  voxmmsd library choose {library.folder} --pair {pair.number} --better first|second|equal")
    print(tally(library, old.info.id, new.info.id).text)


def verify(config: c.VerifyConfig) -> int:
    from voxmmsd.verify import verify as look

    text, is_whole = look(config.what)
    print(text)
    return 0 if is_whole else 2


def export(config: c.ExportConfig) -> None:
    from voxmmsd.models.hand_over import hand_over
    from voxmmsd.models.registry import resolve_model

    print(hand_over(resolve_model(config.model), config.to, _given(config.out, "--out PATH")))


def estimate(config: c.EstimateConfig) -> None:
    import json

    training = _training_of(config)
    from voxmmsd.training.estimate import estimate as measure

    found = measure(training)
    print(json.dumps(found.record()) if config.json else found.text())


def job(config: c.JobConfig) -> None:
    training, out = _training_of(config), _given(config.out, "--out DIR")
    from voxmmsd.training.job import export_job

    print(export_job(training, out))


def _training_of(config: c.EstimateConfig | c.JobConfig) -> Any:
    """The configuration from an options file; the run may still be unnamed."""
    training = find_verb(config.task).configured({}, _given(config.options, "OPTIONS.json"))
    training = replace(training, run=training.run or config.task)
    _check_training(training, "folder of cases")
    return training


def compare(config: c.CompareConfig) -> None:
    _given(config.experiment, "EXPERIMENT.toml")
    _given(config.run, "--run DIR")
    from voxmmsd.training.compare import compare as run

    print(run(config))


def runs(config: c.RunsConfig) -> int:
    from voxmmsd.home import home
    from voxmmsd.runs import curves, find_run, list_runs, watch
    from voxmmsd.runs.control import has_answered, stop

    if config.action == "list":
        parent = Path(config.name) if config.name else home() / "runs"
        listed = list_runs(parent)
        if not listed:
            print(f"{parent}: no run here; `voxmmsd runs list FOLDER` looks in another folder")
        width = max((len(run.folder.name) for run in listed), default=0)
        for run in listed:
            print(f"{run.folder.name:<{width}}  {run.verb:<8}  {run.line()}")
        return 0
    folder = find_run(str(_given(config.name, "RUN")))
    if config.action == "show":
        print(watch.describe(folder))
    elif config.action == "watch":
        return _watch(folder)
    elif config.action == "tensorboard":
        print(curves.write_tensorboard(folder))
    elif config.action == "resume":
        return _resume(folder)
    else:
        ended = stop(folder, config.action, config.wait)
        print(f"{folder}: {ended.line()}")
        return 0 if has_answered(ended, config.action) else 1
    return 0


def _watch(folder: Path) -> int:
    from voxmmsd.runs import watch

    try:
        return 0 if watch.watch(folder).state in ("finished", "paused") else 1
    except KeyboardInterrupt:
        print(f"{folder}: no longer watched; the run itself goes on", file=sys.stderr)
        return 130


def _resume(folder: Path) -> int:
    """Resume a run, as calling its verb again would, in the directory it was started from."""
    import os

    from voxmmsd.runs.launch import resume_call

    name, options, directory = resume_call(folder)
    os.chdir(directory)
    verb = find_verb(name)
    return verb.run(verb.configured(options)) or 0


def bundle(config: c.BundleConfig) -> None:
    from voxmmsd.models.registry import model_in_use, resolve_model
    from voxmmsd.offline.bundle import make_bundle

    models = [resolve_model(name) for name in config.models]
    if not models and (used := model_in_use()):
        models = [used]
    package = Path(config.package) if config.package else None
    out = _given(config.out, "--out FILE.zip")
    made = make_bundle(out, models, target=config.platform, python=config.python, extras=config.extras, package=package)
    size = f"{counted(len(made.files), 'file')}, {out.stat().st_size / 2**20:.0f} MiB"
    size += f", models: {', '.join(made.models) or 'none'}"
    print(f"{out}: {size}; there, with Python {made.python} on {made.platform}: python {out.name}")


def install_bundle(config: c.InstallBundleConfig) -> None:
    from voxmmsd.offline.install import install_bundle as install

    made = install(_given(config.bundle, "BUNDLE.zip"))
    print(f"voxmmsd {made.version} is installed; models: {', '.join(made.models) or 'none'}")
    if made.models:
        print(f"put one in use: voxmmsd models accept {made.models[0]}")


def doctor(config: c.DoctorConfig) -> int:
    from voxmmsd.doctor import examine

    text, healthy = examine(config.device)
    print(text)
    return 0 if healthy else 1


def _run_folder(config: Any) -> Path:
    from voxmmsd.runs import resolve_run

    return resolve_run(config.run)


def _run_of_store(config: c.PrepareConfig) -> Path:
    return _given(config.store, "--store DIR") / ".run"


def _run_of_results(config: c.SegmentConfig | c.RefineConfig) -> Path:
    return _given(config.out, "--out DIR") / ".run"


def _run_to_resume(config: c.RunsConfig) -> Path:
    from voxmmsd.runs import find_run
    from voxmmsd.runs.launch import resume_call

    if config.action != "resume":
        raise ConfigError(f"--detach is for `runs resume`, not for `runs {config.action}`", "leave it out")
    folder = find_run(str(_given(config.name, "RUN")))
    resume_call(folder)  # refuses what cannot be resumed
    return folder


VERBS = (
    Verb("cases", "list the cases in a folder and what is missing", c.CasesConfig, cases),
    Verb("phantom", "write synthetic patients with known tumors", c.PhantomConfig, phantom),
    Verb("prepare", "preprocess cases into a prepared store", c.PrepareConfig, prepare, _run_of_store),
    Verb("pretrain", "pre-train a network on unlabeled scans", c.PretrainConfig, pretrain, _run_folder),
    Verb(
        "finetune",
        "fine-tune a network on a few labeled cases",
        c.FinetuneConfig,
        finetune,
        _run_folder,
        _finetune_config,
    ),
    Verb("check", "check a case for problems that could spoil its segmentation", c.CheckConfig, check),
    Verb("segment", "segment a case, or a folder of cases", c.SegmentConfig, segment, _run_of_results),
    Verb("refine", "carry a few edits of a result through its volume", c.RefineConfig, refine, _run_of_results),
    Verb("evaluate", "score segmentations against expert labels", c.EvaluateConfig, evaluate),
    Verb(
        "estimate",
        "estimate the time, memory and disk space that a training needs on this machine",
        c.EstimateConfig,
        estimate,
    ),
    Verb("job", "pack a training as a folder for a GPU server", c.JobConfig, job),
    Verb(
        "compare",
        "run a label-efficiency experiment: what pre-training gains with few labels",
        c.CompareConfig,
        compare,
        _run_folder,
    ),
    Verb("runs", "list, watch, pause, resume or cancel long jobs", c.RunsConfig, runs, _run_to_resume),
    Verb(
        "models", "list, import, export, accept, reject, roll back, delete or quantize models", c.ModelsConfig, models
    ),
    Verb("library", "manage the training library of cases and corrected labels", c.LibraryConfig, library),
    Verb(
        "verify",
        "verify the files of a run, a model or a training library against their checksums",
        c.VerifyConfig,
        verify,
    ),
    Verb("export", "export a model as ONNX, TorchScript or a MONAI bundle", c.ExportConfig, export),
    Verb("bundle", "pack an offline installer for a machine without network access", c.BundleConfig, bundle),
    Verb(
        "install-bundle", "install an offline installer, without a package index", c.InstallBundleConfig, install_bundle
    ),
    Verb(
        "doctor", "show versions and devices, and test whether this machine computes correctly", c.DoctorConfig, doctor
    ),
)


def find_verb(name: str) -> Verb:
    return next(verb for verb in VERBS if verb.name == name)


def _of_case(case_id: str, error: VoxMMSDError) -> str:
    """What is printed of a case's error; it names the case once."""
    return as_printed(f"case {case_id}: {error.problem.removeprefix(f'case {case_id}: ')}", error.remedy)


def _given(value: str, what: str) -> Path:
    if not value:
        raise ConfigError(f"{what} must be given", "`voxmmsd VERB --help` says what it is")
    return Path(value)


def _folder(value: str) -> Path:
    path = _given(value, "FOLDER")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path")
    return path
