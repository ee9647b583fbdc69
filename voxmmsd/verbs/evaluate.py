"""``voxmmsd evaluate``: score predictions against expert labels, or a model with each subset of the modalities."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.config import DEVICES, Affects, option
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.evaluation.protocols import PROTOCOLS, TASKS
from voxmmsd.models.subsets import SUBSET_SPLITS
from voxmmsd.verbs.verb import Verb, failure_line

if TYPE_CHECKING:
    from voxmmsd.evaluation.evaluate import Evaluation


@dataclass(frozen=True)
class EvaluateConfig:
    predictions: str = option(
        "", "folder of predicted segmentations; with --subsets, a model", affects=Affects.INPUT, positional=True
    )
    labels: str = option("", "folder of cases with expert labels", affects=Affects.INPUT, positional=True)
    subsets: bool = option(False, "score a model with all 15 subsets of the modalities and add the table to its card")
    split: str = option(
        "validation", "cases for --subsets: validation or test cases of the model, or others", choices=SUBSET_SPLITS
    )
    device: str = option("auto", "device for --subsets", choices=DEVICES, affects=Affects.DEVICE)
    schema: str = option("", "label schema of the labels, if file names do not determine it")
    out: str = option("", "output folder for scores.csv, scores.json and the report", affects=Affects.PLACE)
    protocol: str = option(
        "", "also compute the official lesion-wise scores of BraTS of that year", choices=("", *PROTOCOLS)
    )
    task: str = option("auto", "BraTS task whose rules apply (auto: from the label schema)", choices=TASKS)
    workers: int = option(0, "parallel processes (0: one per core)", range=(0, math.inf), affects=Affects.SPEED)
    json: bool = option(False, "print the scores as JSON instead of text", affects=Affects.REPORT)


def run(config: EvaluateConfig) -> int:
    if config.subsets:
        print(_subsets(config))
        return 0
    found = evaluate(config)
    print(_json(found) if config.json else found.text())
    for case_id, error in found.failures:
        print(failure_line(case_id, error), file=sys.stderr)
    return 2 if found.failures else 0


def _json(found: Evaluation) -> str:
    from voxmmsd.evaluation.tables import json_text

    reasons = [(case_id, str(error)) for case_id, error in found.failures]
    return json_text(found.cases, found.schema.name, reasons).rstrip()


def _subsets(config: EvaluateConfig) -> str:
    from voxmmsd.inference.subsets import evaluate_subsets

    if not config.predictions or not config.labels:
        raise ConfigError(
            "evaluate --subsets: a model and cases must be given", "give MODEL and the folder of labeled CASES"
        )
    return evaluate_subsets(config.predictions, Path(config.labels), config.split, config.schema, config.device)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """The scores; with ``out``, also ``scores.csv``, ``scores.json``, ``lesions.csv`` and ``report.html``.

    Raises: as ``evaluate_folders``.
    """
    from voxmmsd.evaluation.evaluate import evaluate_folders
    from voxmmsd.evaluation.evaluation_report import write_evaluation
    from voxmmsd.evaluation.tables import csv_text, json_text, lesion_csv
    from voxmmsd.files import write_text_atomic

    for value, what in ((config.predictions, "PREDICTIONS"), (config.labels, "LABELS")):
        if not value:
            raise InputError(
                f"evaluate: {what} must be given",
                "name a file or folder of each, as in `voxmmsd evaluate PREDICTIONS LABELS`",
            )
        if not Path(value).exists():
            raise InputError(f"{value}: no such file or folder", "check the path")
    found = evaluate_folders(
        Path(config.predictions), Path(config.labels), config.schema, config.protocol, config.task, config.workers
    )
    if config.out:
        out = Path(config.out)
        write_text_atomic(out / "scores.csv", csv_text(found.cases))
        reasons = [(case_id, str(error)) for case_id, error in found.failures]
        write_text_atomic(out / "scores.json", json_text(found.cases, found.schema.name, reasons))
        if found.protocol:
            write_text_atomic(out / "lesions.csv", lesion_csv(found.lesions))
        write_evaluation(found, out / "report.html")
    return found


VERB = Verb("evaluate", "score segmentations against expert labels", EvaluateConfig, run)
