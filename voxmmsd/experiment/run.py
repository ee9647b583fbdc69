"""The label-efficiency experiment: methods x numbers of labeled cases x draws (``docs/method.md``, section 9).

Every method fine-tunes the same network with the same recipe on the same labeled cases, paired by draw; only the
initialization differs. Each pre-training and fine-tuning has its own run folder below that of the experiment, so an
interrupted experiment resumes where it stopped, also within a run. If methods, numbers or draws are added to the
experiment's file, only the missing runs are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from voxmmsd.compute.devices import choose_device
from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.errors import ConfigError, ModelError
from voxmmsd.experiment.config import SCRATCH, Arm, ExperimentConfig
from voxmmsd.experiment.parallel import score_at_once, train_at_once
from voxmmsd.experiment.report import write_comparison
from voxmmsd.experiment.results import Comparison
from voxmmsd.experiment.scoring import Scored, score_model
from voxmmsd.files import read_json, write_json_atomic, write_text_atomic
from voxmmsd.labels import LabelSchema
from voxmmsd.models.learned import learned_by
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import Run, open_run, resolve_run
from voxmmsd.training.cases import LEARNED_FROM, labeled_entries, listed_cases, model_schema
from voxmmsd.training.finetune import finetune
from voxmmsd.training.init_weights import warn_of_known_patients
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.wording import counted

MAX_TRIES = 1000


def compare(file: Path, run: str, *, test: bool = False, jobs: int = 1) -> str:
    """Run or resume the experiment of ``file``; returns its table, also written to ``RUN/results-PART.txt``.

    Also written: ``results-PART.csv`` (a line per arm), ``cases-PART.csv`` (a line per arm and case),
    ``report-PART.html``. PART is ``validation`` or, with ``test``, ``test``: the same models on the test cases.
    ``jobs``: trainings at a time.

    Raises:
        ConfigError: the experiment's file is invalid.
        VoxMMSDError: cases cannot be used.
        Canceled: asked to pause or cancel; when called again, it resumes.
    """
    experiment = make_config(ExperimentConfig, {}, file)
    folder = resolve_run(run).absolute()
    total = len(list(experiment.arms()))
    call = {"experiment": str(file.absolute()), "run": str(folder), "test": test, "jobs": jobs}
    # The runs within check their own options: the experiment itself may grow.
    with open_run(folder, "compare", config_to_record(experiment), total, continues=False, call=call) as outer:
        found, part = _Experiment(experiment, folder, outer), "test" if test else "validation"
        if jobs > 1:
            found.work_ahead(part, jobs)
        return found.results(part)


class _Experiment:
    """The cases of an experiment, and the folders of its runs."""

    def __init__(self, experiment: ExperimentConfig, folder: Path, run: Run) -> None:
        self.experiment, self.folder, self.run = experiment, folder, run
        arms = list(experiment.arms())
        settings = self._finetune_config(arms[0], "", "")
        for method in experiment.methods:  # a wrong option is found before the first is trained
            self._check_method(method)
        self.entries = labeled_entries(settings, run)
        self.splits = read_splits(Path(experiment.splits), self.entries, run.say)
        self.device = choose_device(settings.device)
        self.schema: LabelSchema = model_schema(self.entries)
        self._check()
        self._warn_of_given_starts()
        self.draws = {(arm.cases, arm.draw): self._draw(arm) for arm in arms}

    def work_ahead(self, part: str, jobs: int) -> None:
        """Train and score in advance, ``jobs`` at a time, what ``results`` needs."""
        starts = {
            method: self._pretrain_config(method) for method in self.experiment.methods if self._pretrains(method)
        }
        arms = {
            arm: self._arm_config(arm, starts[arm.method].run if arm.method in starts else self._start(arm.method))
            for arm in self.experiment.arms()
        }
        pretrainings = {config.run: config for config in starts.values()}.values()
        train_at_once([*pretrainings, *arms.values()], jobs, self.run)
        files = {self._scores_file(arm, part): Path(config.run) / "model" for arm, config in arms.items()}
        score_at_once(files, self._cases_of(part), self.schema, self.device, jobs, self.run)

    def results(self, part: str) -> str:
        """Train and score what is missing on a part of the splits; write and return the table."""
        scored = self._cases_of(part)
        found: dict[Arm, Scored] = {}
        for number, arm in enumerate(self.experiment.arms()):
            self.run.stop_if_asked()
            self.run.progress(number, arm.name)
            package = finetune(self._arm_config(arm, self._start(arm.method)))
            found[arm] = score_model(package, scored, self.schema, self.device, self._scores_file(arm, part))
            self.run.say(f"{arm.name}: mean Dice {Comparison(self.schema, found).mean(arm):.3f} on {part}")
        self.run.progress(len(found))
        return self._report(Comparison(self.schema, found), part, scored)

    def _cases_of(self, part: str) -> list[PreparedCase]:
        """Raises ConfigError if the splits list none."""
        if found := [entry for entry in self.entries if entry.id in getattr(self.splits, part)]:
            return found
        raise ConfigError(f"compare: {self.experiment.splits} leaves no case to {part}", f"list some under {part}")

    def _scores_file(self, arm: Arm, part: str) -> Path:
        return self.folder / "finetune" / arm.name / f"cases-{part}.json"

    def _check(self) -> None:
        experiment, splits = self.experiment, self.splits
        if max(experiment.cases) > len(splits.train):
            raise ConfigError(
                f"compare: {max(experiment.cases)} labeled cases requested, {experiment.splits} gives "
                f"{len(splits.train)} to train on",
                "ask for fewer, or list more under train",
            )
        if not splits.validation:
            raise ConfigError(
                f"compare: {experiment.splits} leaves no case to validation", "list some under validation"
            )
        held = {*splits.validation, *splits.test}
        if open_ := sorted(entry.id for entry in self.entries if entry.id in held and entry.leaves_tissues_open):
            raise ConfigError(
                f"compare: the labels of {', '.join(open_[:5])} do not define all tissues, so not all "
                "regions can be scored",
                f"remove them from {experiment.splits}'s validation and test",
            )
        self._refuse_leak(held)

    def _refuse_leak(self, held: set[str]) -> None:
        """Raises ConfigError: a patient that is kept back is pre-trained on, with a label or without."""
        file = self.experiment.pretrain_splits
        folders = [name for method in self.experiment.methods if self._pretrains(method)
                   for name in self._pretrain_options(method).folders]  # fmt: skip
        if not (file and folders):
            return
        listed = listed_cases(folders)
        splits = read_splits(Path(file), listed, self.run.say, LEARNED_FROM)
        used = {*splits.train, *splits.unlabeled}
        learned = {name for case in listed if case.id in used for name in (case.patient_id, case.image_hash)}
        kept_back = [entry for entry in self.entries if entry.id in held]
        if leaked := sorted({e.patient_id for e in kept_back if {e.patient_id, e.image_hash} & learned}):
            raise ConfigError(
                f"compare: {file} pre-trains on {', '.join(leaked[:5])}, which {self.experiment.splits} keeps back",
                "remove them from one of the two: a patient who was pre-trained on cannot judge",
            )

    def _warn_of_given_starts(self) -> None:
        starts = {self.experiment.variant(method).start for method in self.experiment.methods} - {"", SCRATCH}
        for start in sorted(starts):
            with suppress(ModelError):  # perhaps it is still to be made; else its arm says so
                info = resolve_model(start).info
                warn_of_known_patients(info.id, learned_by(info), self.entries, self.splits, self.run)

    def _check_method(self, method: str) -> None:
        finetuned, pretrained = self._finetune_config(Arm(method, 1, 0), "", ""), self._pretrain_options(method)
        start = self.experiment.variant(method).start
        if self._pretrains(method):
            self._refuse_other_channels(method, "pre-training", pretrained.channels, finetuned.channels)
        elif start not in ("", SCRATCH):
            with suppress(ModelError):  # perhaps it is still to be made; else its arm says so
                theirs = resolve_model(start).info.network.channels
                self._refuse_other_channels(method, start, theirs, finetuned.channels)

    @staticmethod
    def _refuse_other_channels(method: str, start: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> None:
        if theirs != ours:
            raise ConfigError(
                f"compare: {method}: {start} has the channels {theirs}, fine-tuning {ours}",
                "give both the same, else nothing would be taken over",
            )

    def _pretrains(self, method: str) -> bool:
        return method != SCRATCH and not self.experiment.variant(method).start

    def _start(self, method: str) -> str:
        """The initialization of a method: none, a given model, or a pre-training, run now if needed."""
        if self._pretrains(method):
            return str(pretrain(self._pretrain_config(method)).parent)
        given = self.experiment.variant(method).start
        return "" if SCRATCH in (method, given) else given

    def _pretrain_config(self, method: str) -> PretrainConfig:
        """The pre-training of a method, in a run named after the first method that uses it."""
        config = self._pretrain_options(method)
        served = (m for m in self.experiment.methods if self._pretrains(m) and self._pretrain_options(m) == config)
        return replace(config, run=str(self.folder / "pretrain" / next(served)))

    def _pretrain_options(self, method: str) -> PretrainConfig:
        experiment = self.experiment
        splits = experiment.pretrain_splits or experiment.splits
        given = {"folders": experiment.folders, "splits": splits, "seed": experiment.seed}
        given |= {"store": str(self.folder / "store-unlabeled")}
        return make_config(PretrainConfig, {**given, **experiment.pretrain, **experiment.variant(method).pretrain})

    def _arm_config(self, arm: Arm, start: str) -> FinetuneConfig:
        return self._finetune_config(arm, start, str(self.draws[arm.cases, arm.draw]))

    def _finetune_config(self, arm: Arm, start: str, splits: str) -> FinetuneConfig:
        experiment = self.experiment
        given = {"folders": experiment.folders, "seed": experiment.seed + arm.draw}
        given |= {**experiment.finetune, **experiment.variant(arm.method).finetune}
        given |= {"store": str(self.folder / "store"), "start": start, "splits": splits}
        return make_config(FinetuneConfig, {**given, "run": str(self.folder / "finetune" / arm.name)})

    def _draw(self, arm: Arm) -> Path:
        """The splits file of a draw: the same for all methods; larger numbers of cases include the smaller ones.

        Raises:
            ConfigError: no draw contains every label, or an earlier call drew from other cases.
        """
        order = self._order(arm.draw)
        chosen = sorted(self.splits.train[i] for i in order[: arm.cases])
        parts = {"train": chosen, "validation": list(self.splits.validation), "test": list(self.splits.test)}
        file = self.folder / "draws" / f"{arm.cases}-cases-draw-{arm.draw}.json"
        if file.is_file() and read_json(file) != parts:
            raise ConfigError(
                f"{file}: was drawn from other cases than {self.experiment.splits} gives now", "name another --run"
            )
        write_json_atomic(file, parts)
        return file

    def _order(self, draw: int) -> np.ndarray:
        """A permutation of the training cases; optionally, its first ones (the smallest arm) contain every label."""
        rng = np.random.default_rng([self.experiment.seed, 0xD2A3, draw])
        fewest = min(self.experiment.cases)
        for _ in range(MAX_TRIES):
            order = rng.permutation(len(self.splits.train))
            held = {label for i in order[:fewest] for label in self._labels_of(self.splits.train[i])}
            if not self.experiment.every_label or len(held) == len(self.schema.labels):
                return order
        raise ConfigError(
            f"compare: no {fewest} training cases hold every label", "set every_label = false or more cases"
        )

    @cache  # noqa: B019 - as long as the experiment
    def _labels_of(self, case_id: str) -> frozenset[int]:
        """Class indices; no codes of unions, as whole tumors have them."""
        label = next(entry.label() for entry in self.entries if entry.id == case_id)
        return frozenset(np.flatnonzero(np.bincount(label.ravel())[: self.schema.class_count]).tolist()) - {0}

    def _report(self, comparison: Comparison, part: str, scored: Sequence[PreparedCase]) -> str:
        text = comparison.text(f"mean Dice of the regions on {counted(len(scored), f'{part} case')}")
        for name, content in (
            (f"results-{part}.csv", comparison.arms_csv()),
            (f"cases-{part}.csv", comparison.cases_csv()),
            (f"results-{part}.txt", text + "\n"),
        ):
            write_text_atomic(self.folder / name, content)
        write_comparison(comparison, self.folder / f"report-{part}.html", text.splitlines()[0])
        return text
