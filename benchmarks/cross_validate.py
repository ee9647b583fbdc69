"""Recipes of fine-tuning compared by cross-validation, per data set and region, paired by patient.

    python benchmarks/cross_validate.py benchmarks/recipes.toml --run runs/recipes --jobs 4

The file names prepared stores, splits (their training and validation patients are cross-validated; test is not
touched), folds, options for all recipes and, per recipe, what differs; the first one is what the others are compared
with. Nothing is chosen on a fold: the last network counts. Called again, it continues.
"""

from __future__ import annotations

import argparse
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.compute.devices import choose_device
from voxmmsd.config import make_config
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.evaluation.statistics import paired
from voxmmsd.experiment.parallel import score_at_once, train_at_once
from voxmmsd.experiment.scoring import score_model
from voxmmsd.files import write_json_atomic, write_text_atomic
from voxmmsd.runs import Run, open_run
from voxmmsd.training.cases import labeled_entries, model_schema
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.wording import text_table


class CrossValidation:
    """The folds of one experiment file, and the trainings of its recipes on them."""

    def __init__(self, file: Path, folder: Path, run: Run) -> None:
        self.stated: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        self.folder, self.run = folder, run
        recipes: dict[str, dict[str, Any]] = self.stated["recipes"]
        self.configs = {
            (name, fold): self._config(name, changes, fold)
            for fold in range(self.stated["folds"])
            for name, changes in recipes.items()
        }
        entries = labeled_entries(next(iter(self.configs.values())), run)
        self.entries = {entry.id: entry for entry in entries}
        self.schema = model_schema(entries)
        splits = read_splits(Path(self.stated["splits"]), entries)
        self.folds = folds([self.entries[id_] for id_ in (*splits.train, *splits.validation)], self.stated["folds"])
        for number, held in enumerate(self.folds):
            train = [entry.id for fold in self.folds if fold is not held for entry in fold]
            write_json_atomic(self._splits(number), {"train": train, "validation": [entry.id for entry in held]})

    def _splits(self, fold: int) -> Path:
        return self.folder / f"fold-{fold}.json"

    def _config(self, name: str, changes: dict[str, Any], fold: int) -> FinetuneConfig:
        given = {"folders": tuple(self.stated["folders"]), **self.stated.get("finetune", {}), **changes}
        given |= {"run": str(self.folder / f"{name}-fold-{fold}"), "splits": str(self._splits(fold))}
        config = make_config(FinetuneConfig, given)
        return make_config(FinetuneConfig, {**given, "validate_every": config.steps})

    def scores(self, jobs: int) -> dict[str, np.ndarray]:
        """Dice ``(patient, region)`` of each recipe; patients in the order of the folds."""
        train_at_once(list(self.configs.values()), jobs, self.run)
        device = choose_device(next(iter(self.configs.values())).device)
        regions = [region.key for region in self.schema.regions]
        found: dict[str, list[np.ndarray]] = defaultdict(list)
        for fold, held in enumerate(self.folds):
            files = {
                Path(config.run) / "cases.json": Path(config.run) / "model"
                for (_, its_fold), config in self.configs.items()
                if its_fold == fold
            }
            score_at_once(files, held, self.schema, device, jobs, self.run)
            for (name, its_fold), config in self.configs.items():
                if its_fold == fold:
                    run = Path(config.run)
                    scored = score_model(run / "model", held, self.schema, device, run / "cases.json")
                    found[name].append(scored.dice(regions))
        return {name: np.concatenate(dice) for name, dice in found.items()}

    def table(self, scores: dict[str, np.ndarray]) -> str:
        """Means per data set and region, and the gain over the first recipe with its 95 % interval."""
        patients = [entry for fold in self.folds for entry in fold]
        regions = [region.key for region in self.schema.regions]
        baseline = next(iter(scores))
        rows = [["data set", "recipe", *regions, *(f"gain {key}" for key in (*regions, "mean"))]]
        cohorts = sorted({entry.cohort for entry in patients})
        for cohort in ["all", *cohorts] if len(cohorts) > 1 else ["all"]:
            chosen = np.array([cohort in ("all", entry.cohort) for entry in patients])
            for name, dice in scores.items():
                means = [f"{value:.3f}" for value in np.nanmean(dice[chosen], axis=0)]
                gains = gains_over(scores[baseline][chosen], dice[chosen]) if name != baseline else [""] * 4
                rows.append([cohort, name, *means, *gains])
        return text_table(rows)


def folds(entries: Sequence[PreparedCase], count: int) -> list[list[PreparedCase]]:
    """Whole patients dealt out, data set by data set, in a fixed order that looks random."""
    found: list[list[PreparedCase]] = [[] for _ in range(count)]
    by_cohort: dict[str, dict[str, list[PreparedCase]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        by_cohort[entry.cohort][entry.patient_id].append(entry)
    turn = 0
    for patients in by_cohort.values():
        order = np.random.default_rng([0, 0xF01D]).permutation(len(patients))
        for index in order.tolist():
            found[turn % count] += list(patients.values())[index]
            turn += 1
    return found


def gains_over(baseline: np.ndarray, dice: np.ndarray) -> list[str]:
    """Per region and of their mean, in Dice points: the paired difference and its interval."""
    difference = dice - baseline
    parts = [difference[:, [number]] for number in range(difference.shape[1])] + [difference]
    gains = [paired(part[None]) for part in parts]
    return [f"{100 * gain.effect:+.1f} ({100 * gain.low:+.1f}, {100 * gain.high:+.1f})" for gain in gains]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    folder = options.run.absolute()
    record = {"experiment": options.experiment.read_text(encoding="utf-8")}
    with open_run(folder, "cross-validate", record, 1, continues=False) as run:
        experiment = CrossValidation(options.experiment, folder, run)
        text = experiment.table(experiment.scores(options.jobs))
    write_text_atomic(folder / "results.txt", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
