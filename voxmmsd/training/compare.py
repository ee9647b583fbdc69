"""The label-efficiency experiment: methods x numbers of labelled cases x draws, paired by draw (METHOD section 9).

Every method fine-tunes the same network by the same recipe on the same labelled cases; only its start differs. Each
pre-training and fine-tuning is a run folder of its own below the experiment's, so an interrupted experiment continues
where it stopped, within a run too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from voxmmsd.config import (
    SCRATCH,
    CompareConfig,
    ExperimentConfig,
    FinetuneConfig,
    PretrainConfig,
    config_to_record,
    make_config,
)
from voxmmsd.data.splits import Splits, read_splits
from voxmmsd.data.store import Entry
from voxmmsd.errors import ConfigError
from voxmmsd.files import write_json_atomic, write_text_atomic
from voxmmsd.models.package import read_package
from voxmmsd.models.weights import load_network
from voxmmsd.networks.devices import choose_device
from voxmmsd.runs import open_run, resolve_run
from voxmmsd.training.cases import labelled_entries
from voxmmsd.training.finetune import finetune
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training.validation import mean_region_dice, validate


@dataclass(frozen=True)
class Arm:
    """One fine-tuning: a method, how many labelled cases, which draw of them."""

    method: str
    cases: int
    draw: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.cases}-cases-draw-{self.draw}"


@dataclass(frozen=True)
class Result:
    """Mean Dice per region over the scored cases, and over the regions."""

    arm: Arm
    dice: float
    regions: Mapping[str, float]


def compare(config: CompareConfig) -> str:
    """Run, or continue, an experiment; its table, also written to ``RUN/results.txt`` and ``.csv``.

    Raises:
        ConfigError: the experiment's file asks for what cannot be.
        VoxMMSDError: cases cannot be used as they are.
        Cancelled: asked to pause or cancel; called again, it continues.
    """
    experiment = make_config(ExperimentConfig, {}, Path(config.experiment))
    folder = resolve_run(config.run).absolute()
    arms = list(_arms(experiment))
    call = {"experiment": str(Path(config.experiment).absolute()), "run": str(folder)}
    with open_run(folder, "compare", config_to_record(experiment), len(arms), call=call) as run:
        settings = _finetune_config(experiment, folder, arms[0], "", "")
        entries = labelled_entries(settings, run)
        splits = read_splits(Path(experiment.splits), entries)
        scored, where = (splits.test, "test") if splits.test else (splits.validation, "validation")
        _check(experiment, splits)
        results = []
        for number, arm in enumerate(arms):
            run.stop_if_asked()
            run.progress(number, arm.name)
            start = "" if arm.method == SCRATCH else str(_pretrained(experiment, folder, arm.method))
            package = finetune(
                _finetune_config(experiment, folder, arm, start, str(_draw(splits, experiment, folder, arm)))
            )
            results.append(_score(package, folder, arm, [entry for entry in entries if entry.id in scored], settings))
        run.progress(len(arms))
        return _report(results, folder, where, len(scored))


def _arms(experiment: ExperimentConfig) -> Iterator[Arm]:
    """All methods of one draw before the next draw, so that a broken-off experiment is paired as far as it went."""
    for cases in experiment.cases:
        for draw in range(experiment.draws):
            for method in experiment.methods:
                yield Arm(method, cases, draw)


def _check(experiment: ExperimentConfig, splits: Splits) -> None:
    if max(experiment.cases) > len(splits.train):
        raise ConfigError(
            f"compare: {max(experiment.cases)} labelled cases asked for, {experiment.splits} gives {len(splits.train)} "
            "to train on"
        )
    if not splits.validation:
        raise ConfigError(f"compare: {experiment.splits} leaves no case to validation")


def _pretrained(experiment: ExperimentConfig, folder: Path, method: str) -> Path:
    given = {"folders": experiment.folders, "splits": experiment.splits, "seed": experiment.seed, **experiment.pretrain}
    run = folder / "pretrain" / method
    return pretrain(make_config(PretrainConfig, {**given, "method": method, "run": str(run)})).parent


def _finetune_config(experiment: ExperimentConfig, folder: Path, arm: Arm, start: str, splits: str) -> FinetuneConfig:
    given = {"folders": experiment.folders, "seed": experiment.seed + arm.draw, **experiment.finetune}
    given |= {"store": str(folder / "store"), "start": start, "splits": splits}
    return make_config(FinetuneConfig, {**given, "run": str(folder / "finetune" / arm.name)})


def _draw(splits: Splits, experiment: ExperimentConfig, folder: Path, arm: Arm) -> Path:
    """The file that says which cases train in a draw: the same for all methods, and more cases include the fewer."""
    order = np.random.default_rng([experiment.seed, 0xD2A3, arm.draw]).permutation(len(splits.train))
    chosen = sorted(splits.train[i] for i in order[: arm.cases])
    file = folder / "draws" / f"{arm.cases}-cases-draw-{arm.draw}.json"
    write_json_atomic(file, {"train": chosen, "validation": list(splits.validation), "test": list(splits.test)})
    return file


def _score(package: Path, folder: Path, arm: Arm, entries: Sequence[Entry], config: FinetuneConfig) -> Result:
    """Scores of an arm, kept beside it once they are made."""
    file = folder / "finetune" / arm.name / "scores.json"
    if not file.is_file():
        model = read_package(package)
        network, device = load_network(model), choose_device(config.device)
        schema = entries[0].label_schema()
        regions = validate(network.to(device), entries, schema, device, model.info.window)
        plain = {key: value if np.isfinite(value) else None for key, value in regions.items()}
        write_json_atomic(file, {"arm": asdict(arm), "dice": mean_region_dice(regions), "regions": plain})
    record = json.loads(file.read_text(encoding="utf-8"))
    regions = {key: float("nan") if value is None else value for key, value in record["regions"].items()}
    return Result(arm, record["dice"], regions)


def _report(results: Sequence[Result], folder: Path, where: str, cases: int) -> str:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    regions = list(results[0].regions)
    writer.writerow(["method", "cases", "draw", "dice", *regions])
    for result in results:
        scores = [f"{value:.4f}" for value in (result.dice, *(result.regions[key] for key in regions))]
        writer.writerow([result.arm.method, result.arm.cases, result.arm.draw, *scores])
    write_text_atomic(folder / "results.csv", rows.getvalue())
    text = summary(results, f"mean Dice of the regions on {cases} {where} cases")
    write_text_atomic(folder / "results.txt", text + "\n")
    return text


def summary(results: Sequence[Result], what: str) -> str:
    """A line per number of cases and method: mean and spread over the draws, and the paired difference to the first
    method, draw by draw."""
    by_arm = {result.arm: result.dice for result in results}
    methods = list(dict.fromkeys(arm.method for arm in by_arm))
    width = max(len(method) for method in methods)
    lines = [what, f"cases  {'method':{width}}  mean ± sd        difference to {methods[0]}, paired by draw"]
    for cases in dict.fromkeys(arm.cases for arm in by_arm):
        draws = [arm.draw for arm in by_arm if arm.cases == cases and arm.method == methods[0]]
        for method in methods:
            values = [by_arm[Arm(method, cases, draw)] for draw in draws]
            line = f"{cases:5d}  {method:{width}}  {mean(values):.3f} ± {_spread(values)}"
            if method != methods[0]:
                gains = [v - by_arm[Arm(methods[0], cases, draw)] for v, draw in zip(values, draws, strict=True)]
                wins = sum(gain > 0 for gain in gains)
                line += f"  {mean(gains):+.3f} ± {_spread(gains)}, better in {wins} of {len(gains)} draws"
            lines.append(line)
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{stdev(values):.3f}" if len(values) > 1 else "-    "
