"""The ``evaluate`` verb: score predictions against expert labels, write tables and a report."""

from __future__ import annotations

from pathlib import Path

from voxmmsd.config import EvaluateConfig
from voxmmsd.errors import InputError
from voxmmsd.evaluation.evaluation_report import write_evaluation
from voxmmsd.evaluation.folders import Evaluation, evaluate_folders
from voxmmsd.evaluation.tables import csv_text, json_text, lesion_csv
from voxmmsd.files import write_text_atomic


def evaluate_verb(config: EvaluateConfig) -> Evaluation:
    """The scores; with ``out``, also ``scores.csv``, ``scores.json``, ``lesions.csv`` and ``report.html``.

    Raises: as ``evaluate_folders``.
    """
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
